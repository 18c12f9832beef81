// Package spool keeps messages on disk that NATS does not take for the moment.
//
// A [Folder] is the place, locked against other processes. A [Log] is what is in
// it: a first-in first-out queue, a JetStream stream of a nats-server inside this
// process that listens nowhere. It is opened when it is needed and costs nothing
// before. JetStream's file store checks every record, cuts off a torn end when it
// opens, gives the disk back, and is synced every 100 ms, so that a crash of the
// process loses nothing and one of the machine at most that. (A bbolt file is
// faster, but one whose end is cut off kills the process that reads it; tidwall/wal
// opens no torn file, checks nothing, and after a full disk loses what it has
// acknowledged.)
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrInUse says that another process has the folder.
var ErrInUse = errors.New("another process uses this folder")

// Folder is a folder for a Log, locked for this process.
type Folder struct {
	// Around, if it is set, is handed each operation instead of its being done:
	// "open", "append", "read", "newest", "remove", "close", "discard" and "probe". A
	// test lets it be slow, fail, or succeed unnoticed. Set it before the first one.
	Around func(operation string, do func() error) error

	dir  string
	lock *flock.Flock
}

// do does an operation of the disk.
func (f *Folder) do(operation string, do func() error) error {
	if f.Around == nil {
		return do()
	}
	return f.Around(operation, do)
}

// Lock makes the folder if it is missing, and locks it until Unlock or the end of
// the process. The error wraps ErrInUse if another process has it.
func Lock(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("spool folder %q: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool folder: %w; make it writable or set ZOOMSTREAM_SPOOL_DIR", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("spool folder: %w; make it writable or set ZOOMSTREAM_SPOOL_DIR", err)
	}
	if !locked {
		return nil, fmt.Errorf("spool folder %s: %w; give this one another ZOOMSTREAM_SPOOL_DIR or ZOOMSTREAM_DATA_DIR", dir, ErrInUse)
	}
	return &Folder{dir: dir, lock: lock}, nil
}

// Dir is the folder's absolute path.
func (f *Folder) Dir() string { return f.dir }

// Used reports whether something may have been left in the folder.
func (f *Folder) Used() bool {
	_, err := os.Stat(f.store())
	return err == nil
}

func (f *Folder) store() string { return filepath.Join(f.dir, "jetstream") }

// Probe reports whether the disk takes a file of some size.
func (f *Folder) Probe() error { return f.do("probe", f.probe) }

func (f *Folder) probe() error {
	name := filepath.Join(f.dir, "probe")
	err := os.WriteFile(name, make([]byte, 1<<20), 0o600)
	if err := errors.Join(err, os.Remove(name)); err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	return nil
}

// sync puts what JetStream has written about the stream on disk; it leaves that to
// the system, and a stream whose description is gone is not found.
func (f *Folder) sync() error {
	return filepath.WalkDir(f.store(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return gone(err)
		}
		file, err := os.Open(path)
		if err != nil {
			return gone(err)
		}
		return errors.Join(file.Sync(), file.Close())
	})
}

// gone makes a file that the server has just replaced no error.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Unlock gives the folder back. The Log must be closed before.
func (f *Folder) Unlock() error { return f.lock.Unlock() }
