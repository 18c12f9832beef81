// Package secretfile reads the small files, often with secrets, that settings name.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Size limits.
const (
	MaxSecret = 64 << 10 // bytes of a secret, key or credentials file
	MaxText   = 1 << 20  // bytes of a configuration, or of a bundle of all CA certificates
)

// errIrregular rejects files whose reading may block or never end.
var errIrregular = errors.New("it is not a regular file, but a pipe or a device")

// Read reads a regular file of at most max bytes; it follows symbolic links. Its errors are
// [fs.PathError]s.
func Read(path string, max int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // otherwise opening a pipe blocks
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is only read
	text, err := read(file, max)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return text, nil
}

func read(file *os.File, max int64) ([]byte, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, errIrregular
	}
	text, err := io.ReadAll(io.LimitReader(file, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > max {
		return nil, fmt.Errorf("it has more than %d KiB", max>>10)
	}
	return text, nil
}
