// Package spool keeps messages on disk that NATS does not accept at the moment.
//
// A [Folder] is the place, locked against other processes. A [Log] is its content: a
// first-in, first-out queue. It is a JetStream stream of a nats-server inside this
// process that does not listen. It is opened when needed and costs nothing before.
//
// JetStream's file store verifies every record, cuts off a torn end when it opens, frees
// disk space, and is synced every 100 ms. So a crash of the process loses nothing, and a
// crash of the machine at most the last 100 ms. (A bbolt file is faster, but a truncated
// one kills the process that reads it. tidwall/wal cannot open a torn file, verifies
// nothing, and after a full disk loses what it has acknowledged.)
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrInUse means that another process has locked the folder.
var ErrInUse = errors.New("another process uses this folder")

// Folder is a folder for a Log, locked for this process.
type Folder struct {
	// Around, if set, is called in place of each operation: "open", "append", "read",
	// "newest", "remove", "close", "discard" and "probe". do performs the operation. Tests
	// use Around to make operations slow, fail, or succeed with an error. Set it before
	// the first operation.
	Around func(operation string, do func() error) error

	dir  string
	lock *flock.Flock
}

// do performs an operation on the disk.
func (f *Folder) do(operation string, do func() error) error {
	if f.Around == nil {
		return do()
	}
	return f.Around(operation, do)
}

// Lock creates the folder if it is missing, and locks it until Unlock or the end of
// the process. The error wraps ErrInUse if another process has locked it.
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

// Used reports whether the folder may contain records.
func (f *Folder) Used() bool {
	_, err := os.Stat(f.store())
	return err == nil
}

func (f *Folder) store() string { return filepath.Join(f.dir, "jetstream") }

// Probe returns an error if the disk does not accept a file of 1 MiB.
func (f *Folder) Probe() error { return f.do("probe", f.probe) }

func (f *Folder) probe() error {
	name := filepath.Join(f.dir, "probe")
	err := os.WriteFile(name, make([]byte, 1<<20), 0o600)
	if err := errors.Join(err, os.Remove(name)); err != nil {
		return fmt.Errorf("spool folder: %w", err)
	}
	return nil
}

// sync syncs what JetStream has written about the stream to disk. JetStream leaves that to
// the system, and does not find a stream whose description is gone.
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

// gone ignores that a file is missing: the server may just have replaced it.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Unlock unlocks the folder. The Log must be closed before.
func (f *Folder) Unlock() error { return f.lock.Unlock() }
