package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed bridge
var bridgeFiles embed.FS

// installBridge installs the Node bridge and its pinned libraries in a folder, and returns the
// path; empty if node or npm is missing.
func installBridge(ctx context.Context, dir string) (string, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", nil
		}
	}
	if err := os.CopyFS(dir, bridgeFiles); err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "bridge")
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci of the Node bridge: %w (-node=false leaves it out)\n%s", err, out)
	}
	return dir, nil
}
