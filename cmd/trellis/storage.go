package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/config"
	"trellis/storage"
	"trellis/storage/s3storage"
	"trellis/storage/uploads"
)

func (a *app) storageCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "storage", Short: "Work on the place where files are kept", Args: cobra.NoArgs,
		Long: "Work on the place where files are kept, directly and without a server.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.storageCopyCommand())
	return c
}

func (a *app) storageCopyCommand() *cobra.Command {
	var from, to string
	var parallel int
	c := a.configFlag(&cobra.Command{
		Use: "copy --to PLACE", Short: "Copy all files to another place, such as from a directory to S3", Args: cobra.NoArgs,
		Long: `Copy all files from the place that TRELLIS_STORAGE_URL names to another one,
also while servers use it. A PLACE is written as in that setting: dir:PATH (or
the path alone), or s3://BUCKET/PREFIX with its parameters. Others on this
machine can see what is written here: leave keys of S3 out, and give them in
the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile.

What is there already with the same SHA-256 is not copied again, so a run that
was interrupted goes on where it ended. Files that are damaged are named, and
all others copied. A place that belongs to another graph is refused. Nothing
is removed anywhere.

Exit codes: 0 everything is there, 2 not everything, or nothing could be done.`,
		Example: "  trellis storage copy --to s3://acme-trellis/prod?region=eu-central-1\n  trellis storage copy --from dir:/var/lib/trellis/files --to s3://acme-trellis/prod?region=eu-central-1",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if parallel < 1 || parallel > 64 {
				return errors.New("--parallel is a number from 1 to 64")
			}
			if from == "" {
				from = cfg.StorageURL
			}
			return a.copyStorage(c.Context(), cfg, from, to, parallel)
		},
	})
	f := c.Flags()
	f.StringVar(&to, "to", "", "the place to copy to")
	f.StringVar(&from, "from", "", "the place to copy from, if it is not that of the settings any more")
	f.IntVar(&parallel, "parallel", 8, "how many files are copied at once")
	_ = c.MarkFlagRequired("to") // it fails only if there is no such flag
	return c
}

// storagePlace is where files are kept, as a flag names it.
type storagePlace struct {
	*config.Config
	name string // without credentials and parameters
	same string // that of the same place is the same
}

func parsePlace(flag, text string) (storagePlace, error) {
	dir, isDir := strings.CutPrefix(text, "dir:")
	if isDir || !strings.HasPrefix(text, "s3:") {
		if dir == "" || !isDir && strings.Contains(dir, "://") {
			return storagePlace{}, fmt.Errorf("--%s: want dir:PATH or s3://BUCKET", flag)
		}
		same, err := filepath.Abs(dir)
		if err != nil {
			return storagePlace{}, err
		}
		if target, err := filepath.EvalSymlinks(same); err == nil {
			same = target
		}
		return storagePlace{&config.Config{StorageURL: "dir:" + dir}, dir, same}, nil
	}
	o, err := s3storage.Parse(text)
	if err != nil {
		return storagePlace{}, fmt.Errorf("--%s: %w", flag, err)
	}
	name := "s3://" + strings.TrimSuffix(o.Bucket+"/"+o.Prefix, "/")
	return storagePlace{&config.Config{StorageURL: text}, name, name + " " + o.Endpoint}, nil
}

func (a *app) copyStorage(ctx context.Context, cfg *config.Config, fromText, toText string, parallel int) error {
	from, err := parsePlace("from", fromText)
	if err != nil {
		return err
	}
	to, err := parsePlace("to", toText)
	if err != nil {
		return err
	}
	if from.same == to.same {
		return fmt.Errorf("%s is the place to copy from as well; if the settings name the new place already, give the old one by --from", to.name)
	}
	if dir := from.StoragePath(); dir != "" { // opening would make it
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no directory %s to copy from", dir)
		}
	}
	source, err := openBlobs(from.Config)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openBlobs(to.Config)
	if err != nil {
		return err
	}
	defer target.Close()
	spool, err := storage.NewSpool(cfg.SpoolPath())
	if err != nil {
		return err
	}
	b, told := a.progress("files", -1), time.Now()
	done, err := (&uploads.Copy{
		From: source, To: target, Spool: spool, Parallel: parallel,
		Damaged: func(key storage.Key, err error) {
			fmt.Fprintf(a.stderr, "%s is damaged and was not copied: %v\n", key, err)
		},
		Report: func(done uploads.Copied) {
			b.set(done.Objects + done.Same + done.Damaged)
			if b.p == nil && time.Since(told) > 30*time.Second { // nobody looks, but a log may be read
				told = time.Now()
				fmt.Fprintln(a.stderr, copiedSoFar(done))
			}
		},
	}).Run(ctx)
	b.done()
	return a.copyResult(ctx, from, to, done, err)
}

func copiedSoFar(done uploads.Copied) string {
	return fmt.Sprintf("copied %d objects of %d bytes, %d were there already", done.Objects, done.Bytes, done.Same)
}

// copyResult says what was done, and what is to be done next.
func (a *app) copyResult(ctx context.Context, from, to storagePlace, done uploads.Copied, err error) error {
	switch {
	case errors.Is(err, uploads.ErrUnowned):
		return fmt.Errorf("there is nothing to copy: no graph has stored files in %s", from.name)
	case errors.Is(err, uploads.ErrForeign):
		return fmt.Errorf("%s belongs to another graph, or holds files that %s does not; choose an empty place", to.name, from.name)
	}
	fmt.Fprintf(a.stderr, "%s, from %s to %s\n", copiedSoFar(done), from.name, to.name)
	switch {
	case errors.Is(err, uploads.ErrDamaged):
		return fmt.Errorf("damaged and not copied: %d; all others were. Restore them from a backup and run this again, or go on without them", done.Damaged)
	case ctx.Err() != nil:
		return errors.New("interrupted; run it again to go on")
	case err != nil:
		return fmt.Errorf("not everything was copied; run it again to go on: %w", err)
	}
	fmt.Fprintf(a.stderr, `Next:
  1. set TRELLIS_STORAGE_URL to the new place on every server, and restart them
  2. run this once more with --from for the old place, for what came meanwhile
`)
	return nil
}
