package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// unreadable says which file cannot be read, and why, without showing a value that may be a secret.
func unreadable(path string, err error) error {
	err = reason(err)
	if !isPath(path) {
		return fmt.Errorf("the file cannot be read: %w; give the path of a file, not what is in it (the value is not shown: it may be the secret itself)", err)
	}
	return fmt.Errorf("the file %s cannot be read: %w; name one that exists and that this process may read", located(path), err)
}

// reason returns the cause of an error about a file, without its path.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// located formats a path for people, with the folder that a relative one starts from.
func located(path string) string {
	if !isPath(path) {
		return "named there"
	}
	return fmt.Sprintf("%.300q%s", path, startOf(path))
}

// startOf returns, in brackets, the folder that a relative path starts from; "" for an absolute
// one.
func startOf(path string) string {
	folder, err := os.Getwd()
	if err != nil || filepath.IsAbs(path) {
		return ""
	}
	return " (looked for in " + folder + ")"
}

// plainPath matches paths that cannot be mistaken for a secret: of lower-case words, and either
// with a leading folder or with the extension of a secrets or settings file.
var plainPath = regexp.MustCompile(`^(?:(?:~|\.{1,2})?(?:/[a-z0-9._-]{1,40}){2,}|\.{1,2}/[a-z0-9._-]{1,40}|(?:[a-z0-9._-]{1,40}/)*[a-z0-9_-]{1,40}\.(?:txt|ya?ml|json|env|url|creds|nk|jwt|pem|crt|cer|key|secret|token))$`)

// isPath reports whether a value is plausibly a path rather than the secret itself, which people
// sometimes give by mistake.
func isPath(value string) bool {
	if plainPath.MatchString(value) {
		return true
	}
	if _, err := os.Lstat(value); err == nil || errors.Is(err, fs.ErrPermission) {
		return true
	}
	parent := filepath.Dir(value)
	if parent == "." || parent == string(filepath.Separator) {
		return false // these always exist
	}
	info, err := os.Stat(parent)
	return err == nil && info.IsDir()
}
