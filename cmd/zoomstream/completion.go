package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown below the command's one-line description.
func (completionCmd) Help() string {
	return `bash: source <(zoomstream completion bash), in ~/.bashrc
zsh:  source <(zoomstream completion zsh), in ~/.zshrc behind compinit
fish: zoomstream completion fish > ~/.config/fish/completions/zoomstream.fish`
}

// Run prints the script for a shell.
func (c *completionCmd) Run(p *process, parsed *kong.Context) error {
	commands := completions(parsed.Model.Node)
	switch c.Shell {
	case "bash":
		return bashCompletion(p.stdout, commands)
	case "zsh":
		return zshCompletion(p.stdout, commands)
	}
	return fishCompletion(p.stdout, commands)
}

// completion is what may follow a command. help is one line of plain words.
type completion struct {
	name, help string
	flags      []completedFlag
	words      []string // its subcommands, or values of its argument
}

type completedFlag struct {
	name, help string
	value      bool // a value follows
}

// completions returns the completions of all commands.
func completions(program *kong.Node) (all []completion) {
	for _, node := range program.Children {
		c := completion{name: node.Name, help: plain(node.Help)}
		for _, child := range node.Children {
			c.words = append(c.words, child.Name)
			c.addFlags(child.Flags)
		}
		for _, arg := range node.Positional {
			c.words = append(c.words, arg.EnumSlice()...)
		}
		c.addFlags(append([]*kong.Flag{program.Flags[0]}, node.Flags...)) // the first one is --help
		all = append(all, c)
	}
	for i := range all {
		if all[i].name == "help" {
			for _, c := range all {
				all[i].words = append(all[i].words, c.name)
			}
		}
	}
	return all
}

func (c *completion) addFlags(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden || slices.ContainsFunc(c.flags, func(had completedFlag) bool { return had.name == f.Name }) {
			continue
		}
		c.flags = append(c.flags, completedFlag{f.Name, plain(f.Help), !f.IsBool()})
	}
}

func (c *completion) flagWords() string {
	var b strings.Builder
	for _, f := range c.flags {
		b.WriteString(" --" + f.name)
	}
	return b.String()
}

// plain returns the first sentence of a help text, without characters that are special to shells.
func plain(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("'\"`$\\[]:;", r) {
			return -1
		}
		return r
	}, strings.TrimSuffix(first, "."))
}

func bashCompletion(w io.Writer, commands []completion) error {
	var names []string
	var cases strings.Builder
	for _, c := range commands {
		names = append(names, c.name)
		fmt.Fprintf(&cases, "  %s) words='%s' ;;\n", c.name, strings.TrimSpace(strings.Join(c.words, " ")+c.flagWords()))
	}
	_, err := fmt.Fprintf(w, `_zoomstream() {
  local words
  COMPREPLY=()
  case "$COMP_CWORD ${COMP_WORDS[1]}" in
  1\ *) words='%s' ;;
  *) case "${COMP_WORDS[1]}" in
%s  esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _zoomstream zoomstream
`, strings.Join(names, " "), cases.String())
	return err
}

func zshCompletion(w io.Writer, commands []completion) error {
	var names, cases strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&names, "      '%s:%s'\n", c.name, c.help)
		fmt.Fprintf(&cases, "  %s)\n    _arguments", c.name)
		for _, f := range c.flags {
			name, value := "--"+f.name, ""
			if f.value {
				name, value = name+"=", ":value:_files"
			}
			fmt.Fprintf(&cases, " \\\n      '%s[%s]%s'", name, f.help, value)
		}
		if len(c.words) > 0 {
			fmt.Fprintf(&cases, " \\\n      '2:what:(%s)'", strings.Join(c.words, " "))
		}
		cases.WriteString(" ;;\n")
	}
	_, err := fmt.Fprintf(w, `#compdef zoomstream
_zoomstream() {
  if (( CURRENT == 2 )); then
    local -a commands=(
%s    )
    _describe command commands
    return
  fi
  case ${words[2]} in
%s  esac
}
compdef _zoomstream zoomstream
`, names.String(), cases.String())
	return err
}

func fishCompletion(w io.Writer, commands []completion) error {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c zoomstream -n __fish_use_subcommand -f -a %s -d '%s'\n", c.name, c.help)
		for _, word := range c.words {
			fmt.Fprintf(&b, "complete -c zoomstream -n '__fish_seen_subcommand_from %s' -f -a %s\n", c.name, word)
		}
		for _, f := range c.flags {
			value := ""
			if f.value {
				value = " -r"
			}
			fmt.Fprintf(&b, "complete -c zoomstream -n '__fish_seen_subcommand_from %s' -l %s%s -d '%s'\n", c.name, f.name, value, f.help)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
