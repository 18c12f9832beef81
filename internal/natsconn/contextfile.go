package natsconn

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strings"

	"github.com/zoomstream/zoomstream/internal/secretfile"
)

// checkContextFiles checks that the file of a context, and the files it names, exist and are small.
// The library reads files of any size, and its errors say little about missing ones.
func checkContextFiles(o Options) error {
	path := o.Context
	if !filepath.IsAbs(path) {
		path = filepath.Join(contextFolder(), o.Context+".json")
		if strings.Contains(o.Context, "..") || strings.ContainsRune(o.Context, filepath.Separator) {
			return errors.New("it is neither the name of a context nor the absolute path of its file")
		}
	}
	text, err := secretfile.Read(path, secretfile.MaxSecret)
	if os.IsNotExist(err) {
		return fmt.Errorf("there is no file %s; %s", path, knownContexts())
	}
	if err != nil {
		return fmt.Errorf("its file cannot be read: %w", err)
	}
	var named struct{ Creds, NKey, Cert, Key, CA string }
	if err := json.Unmarshal(text, &named); err != nil {
		return fmt.Errorf("its file %s is not a context in JSON: %w; write it again (nats context add, or edit)", path, err)
	}
	if len(given(o)) > 0 { // the library reads the other files even then
		named.Creds = ""
	}
	for _, file := range [][2]string{{"creds", os.ExpandEnv(named.Creds)}, {"nkey", named.NKey}, {"cert", named.Cert}, {"key", named.Key}, {"ca", named.CA}} {
		member, path := file[0], file[1]
		if path == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(path, "~"); ok {
			path = homeFolder() + rest
		}
		if _, err := secretfile.Read(path, secretfile.MaxText); err != nil {
			return fmt.Errorf("the file of its %q cannot be read: %w", member, err)
		}
	}
	return nil
}

// knownContexts lists the existing contexts, for the error about an unknown one.
func knownContexts() string {
	const most = 10
	files, _ := filepath.Glob(filepath.Join(contextFolder(), "*.json")) // empty if the folder cannot be read
	if len(files) == 0 {
		return "there are no contexts: nats context add creates one (they are looked for below XDG_CONFIG_HOME, else in the user's home)"
	}
	var names []string
	for _, file := range files[:min(len(files), most)] {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	text := "there are " + strings.Join(names, ", ")
	if len(files) > most {
		text += fmt.Sprintf(" and %d more", len(files)-most)
	}
	return text
}

// contextFolder is where the nats CLI and the library keep contexts.
func contextFolder() string {
	parent := os.Getenv("XDG_CONFIG_HOME")
	if parent == "" {
		parent = filepath.Join(homeFolder(), ".config")
	}
	return filepath.Join(parent, "nats", "context")
}

// homeFolder is the user's home as the library determines it, which may differ from HOME.
func homeFolder() string {
	who, err := osuser.Current()
	if err != nil {
		return "" // the library fails for the same reason
	}
	return who.HomeDir
}
