package config

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// Exposure is a file or folder with secrets or events that others may read or write.
type Exposure struct {
	Setting string
	Path    string
	Mode    fs.FileMode // its permissions
	Fix     string
}

// Exposed looks at the files of secrets, and at the folders of data that are there. On
// Windows, whose permissions are others, it finds nothing.
func (c *Config) Exposed() (found []Exposure) {
	if runtime.GOOS == "windows" {
		return nil
	}
	const anybody, group = 0o006, 0o020
	look := func(setting, path string, safe fs.FileMode) {
		info, err := os.Stat(path)
		if path == "" || err != nil || info.Mode().Perm()&(anybody|group) == 0 {
			return
		}
		found = append(found, Exposure{setting, path, info.Mode().Perm(), fmt.Sprintf("chmod %o", safe)})
	}
	for _, f := range c.secretFiles {
		look(f.Name, f.Value, 0o600)
	}
	look("ZOOMSTREAM_DATA_DIR", c.DataDir, 0o700)
	look("ZOOMSTREAM_SPOOL_DIR", c.SpoolDir, 0o700)
	return found
}
