package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// disk checks the folders. It creates none and takes no lock: a zoomstream that starts at this
// moment would take doctor for another one.
func (e *exam) disk() {
	if e.cfg.NATS.Embedded() {
		e.folder(DataFolder, e.cfg.DataDir, "ZOOMSTREAM_DATA_DIR", natsLock(e.cfg.DataDir))
	}
	lock := filepath.Join(e.cfg.SpoolDir, "lock")
	if !e.folder(SpoolFolder, e.cfg.SpoolDir, "ZOOMSTREAM_SPOOL_DIR", lock) {
		return
	}
	used, leftOver := stored(e.cfg.SpoolDir)
	e.space(used)
	if !leftOver {
		return
	}
	if pid, locked := locker(lock); locked {
		e.pass(SpoolLeftOver, "the spool in %s holds %s; process %d, which uses the folder, publishes it when NATS takes it", e.cfg.SpoolDir, size(used), pid)
		return
	}
	e.warn(SpoolLeftOver, "nothing to do if a zoomstream runs with this folder: it publishes what waits there; otherwise start one",
		"the spool in %s holds %s, left from an earlier run unless a zoomstream runs with it now", e.cfg.SpoolDir, size(used))
}

// natsLock is the file that a zoomstream with an embedded server locks (see natsconn).
func natsLock(dataDir string) string { return filepath.Join(dataDir, "nats.lock") }

// folder reports whether files can be created in a folder, or where the folder will be created.
func (e *exam) folder(code Code, dir, setting, lock string) bool {
	at, err := existing(dir)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(at, ".zoomstream-doctor-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	switch {
	case err != nil:
		e.fail(code, "make it writable for this user, or set "+setting, "%s cannot be written: %v", dir, plain(err))
	case at != filepath.Clean(dir):
		e.pass(code, "%s does not exist yet and can be created", dir)
	default:
		used := ""
		if pid, locked := locker(lock); locked {
			used = fmt.Sprintf(", process %d uses it", pid)
		}
		e.pass(code, "%s is writable%s", dir, used)
	}
	return err == nil
}

// existing returns the folder, or its nearest parent that exists.
func existing(dir string) (string, error) {
	dir = filepath.Clean(dir)
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return "", errors.New(dir + " is not a folder")
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir:
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// plain drops the error's path, which is that of a temporary file.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (e *exam) space(used int64) {
	at, err := existing(e.cfg.SpoolDir)
	if err != nil {
		return
	}
	free, ok := freeBytes(at)
	if !ok {
		e.skip(SpoolSpace, "the free space is not known on this system")
		return
	}
	if wanted := e.cfg.SpoolMax - used; free < wanted {
		e.warn(SpoolSpace, "free some space, or set ZOOMSTREAM_SPOOL_MAX to what is available",
			"%s free, and the spool may take another %s (ZOOMSTREAM_SPOOL_MAX is %s)", size(free), size(wanted), size(e.cfg.SpoolMax))
		return
	}
	e.pass(SpoolSpace, "%s free, the spool may take %s", size(free), size(e.cfg.SpoolMax))
}

// stored returns the size of a spool's records on disk, and whether there are any. The files are
// removed with the last record.
func stored(dir string) (bytes int64, any bool) {
	filepath.WalkDir(filepath.Join(dir, "jetstream"), func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // what cannot be read does not count
		if err != nil || d.IsDir() || filepath.Ext(d.Name()) != ".blk" {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes, bytes > 0
}

// size formats a number of bytes for people.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
