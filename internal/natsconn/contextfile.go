package natsconn

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// checkContextFiles sees to it that the file of a context, and those that it names, are small ones: the library
// reads whatever is there. What does not exist is left to the library, which says so.
func checkContextFiles(name string) error {
	path := name
	if !filepath.IsAbs(name) {
		parent := os.Getenv("XDG_CONFIG_HOME")
		if parent == "" {
			parent = filepath.Join(homeDir(), ".config")
		}
		path = filepath.Join(parent, "nats", "context", name+".json")
	}
	text, err := secretfile.Read(path, secretfile.MaxSecret)
	if err != nil {
		return unlessMissing(err)
	}
	var named struct{ Creds, NKey, Cert, Key, CA string }
	if json.Unmarshal(text, &named) != nil {
		return nil
	}
	for _, path := range []string{os.ExpandEnv(named.Creds), named.NKey, named.Cert, named.Key, named.CA} {
		if path == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(path, "~"); ok {
			path = homeDir() + rest
		}
		if _, err := secretfile.Read(path, secretfile.MaxText); unlessMissing(err) != nil {
			return err
		}
	}
	return nil
}

func unlessMissing(err error) error {
	if err == nil || os.IsNotExist(err) {
		return nil
	}
	return fmt.Errorf("a file of it cannot be read: %w", err)
}

func homeDir() string {
	home, _ := os.UserHomeDir() // empty: the library fails for the same reason
	return home
}
