// Package secretfile reads files that somebody has named in a setting: small ones,
// with secrets in them.
package secretfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Bounds of what is read.
const (
	MaxSecret = 64 << 10 // bytes of a secret, a key, credentials
	MaxText   = 1 << 20  // bytes of a configuration, or of the certificates of all authorities
)

// errIrregular says that a file may never end, or never begin.
var errIrregular = errors.New("it is no regular file, but a pipe or a device")

// Read reads a regular file of at most max bytes. A link to one will do. Its errors are
// [fs.PathError]s.
func Read(path string, max int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would be waited for
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
