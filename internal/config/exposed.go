package config

import (
	"io/fs"
	"os"
	"runtime"
)

// Exposure is a file or folder with secrets or events that other users can read or write.
type Exposure struct {
	Setting string
	Path    string
	Mode    fs.FileMode // its permission bits
	Fix     string
}

// Exposed checks the files of secrets, and those data folders that exist. On Windows, which has no
// such permissions, it finds nothing.
func (c *Config) Exposed() (found []Exposure) {
	if runtime.GOOS == "windows" {
		return nil
	}
	const anybody, group = 0o006, 0o020
	look := func(setting, path string, fix string) {
		info, err := os.Stat(path)
		if path == "" || err != nil || info.Mode().Perm()&(anybody|group) == 0 {
			return
		}
		found = append(found, Exposure{setting, path, info.Mode().Perm(), fix})
	}
	for _, f := range c.secretFiles {
		look(f.Name, f.Value, "chmod 600; in Kubernetes, defaultMode: 0400 of the volume")
	}
	look("ZOOMSTREAM_DATA_DIR", c.DataDir, "chmod 700")
	look("ZOOMSTREAM_SPOOL_DIR", c.SpoolDir, "chmod 700")
	return found
}
