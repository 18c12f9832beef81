package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpCmd exists for the list of commands. run rewrites it to --help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command to show the flags of."`
}

// connecting are the settings with which a command connects to NATS.
const connecting = "NATS_URL NATS_CONTEXT NATS_JS_DOMAIN NATS_CREDS NATS_NKEY NATS_USER NATS_PASSWORD NATS_TOKEN NATS_CA NATS_CERT NATS_KEY " +
	"ZOOMSTREAM_NATS_ADDR ZOOMSTREAM_DATA_DIR"

// usedElsewhere is shown below the help of a command that does not use all settings.
const usedElsewhere = "This help lists only the settings that the command uses. It accepts all of them, so that one file or one environment " +
	"serves every command: zoomstream run --help lists them all."

// listUsed hides the settings that a command does not use from its help and completion. The tag
// uses names those it uses besides the connecting ones; a command without the tag uses all.
func listUsed(k *kong.Kong) error {
	for _, command := range k.Model.Leaves(false) {
		if !command.Tag.Has("uses") {
			continue
		}
		used := strings.Fields(connecting + " " + command.Tag.Get("uses"))
		for _, flag := range command.Flags {
			setting := strings.TrimSuffix(flag.Tag.Get("setting"), "_FILE")
			if setting != "" && !slices.Contains(used, setting) {
				flag.Hidden = true
			}
		}
		command.Detail += "\n\n" + usedElsewhere
	}
	return nil
}
