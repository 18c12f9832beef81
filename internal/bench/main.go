package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if role := os.Getenv(roleVariable); role != "" {
		return runRole(ctx, role)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	zoomstream := flags.String("zoomstream", "./zoomstream", "the built `program`")
	rounds := flags.Int("rounds", 3, "how often everything is measured; medians count")
	quick := flags.Bool("quick", false, "one round of little: whether it works, no figures")
	grows := flags.Bool("growth", false, "measure instead how cost grows with events, copies of the stream, spools, subscriptions and replicas")
	node := flags.Bool("node", true, "measure the Node bridge too, where node and npm are there")
	out := flags.String("out", "", "write the figures to this `file`, as JSON")
	committed := flags.String("committed", "docs/performance.json", "`file` with the figures to compare with")
	from := flags.String("from", "", "measure nothing: take the figures of this `file`, which -out has written")
	update := flags.String("update", "", "write the figures to the committed file, and their table into this Markdown `file`")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if *grows {
		now, err := growth(ctx, fullGrowth(), *zoomstream)
		if err == nil {
			fmt.Print("\n", now.list())
		}
		return err
	}
	before, err := readFigures(*committed)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p := fullPlan(*rounds)
	if *quick {
		p = quickPlan()
	}
	var now *figures
	if *from != "" {
		now, err = readFigures(*from)
	} else {
		now, err = measure(ctx, p, *zoomstream, *node)
	}
	if err != nil {
		return err
	}
	fmt.Print("\n", now.table(before))
	if *out != "" {
		if err := now.write(*out); err != nil {
			return err
		}
	}
	if *update != "" {
		return errors.Join(now.write(*committed), now.writeMarkdown(*update))
	}
	return nil
}
