package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/failwhale/failwhale/attacks"
	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

// exportFlags are those of commands that can hand samples to other tools.
func exportFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "vegeta", Usage: "write the results to `FILE` for vegeta report, plot and encode"},
		&cli.StringFlag{Name: "samples", Usage: "write a row a request to `FILE`, as CSV"},
		&cli.StringFlag{Name: "compat", Usage: "show what `TOOL` would have said of the same requests: vllm"},
	}
}

// exports are what samples go to beside the judge.
type exports struct {
	sinks []results.Sink
	files []*exportFile
	csv   *results.SamplesCSV // nil: not asked for
	vllm  *results.VLLM       // nil: not asked for
}

// An exportFile is a file that keeps what it held until something new is written.
type exportFile struct {
	file    *os.File  // not embedded: its other ways to write would go past Write
	sink    io.Closer // what writes it
	regular bool      // there is something to keep
	created bool      // by us
	emptied bool
}

// openExport opens a file to be written, and changes nothing in it.
func openExport(path string) (*exportFile, error) {
	f := &exportFile{}
	_, err := os.Lstat(path)
	f.created = errors.Is(err, fs.ErrNotExist)
	if f.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	info, err := f.file.Stat()
	if err != nil {
		return nil, errors.Join(err, f.file.Close())
	}
	f.regular = info.Mode().IsRegular()
	return f, nil
}

// Write replaces what the file held.
func (f *exportFile) Write(p []byte) (int, error) {
	if err := f.empty(); err != nil {
		return 0, err
	}
	return f.file.Write(p)
}

func (f *exportFile) empty() error {
	if f.emptied || !f.regular {
		return nil
	}
	f.emptied = true
	return f.file.Truncate(0)
}

// finish writes what is left, and closes the file.
func (f *exportFile) finish() error {
	err := errors.Join(f.sink.Close(), f.empty(), f.file.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", f.file.Name(), err)
	}
	return nil
}

// drop closes the file and leaves things as they were.
func (f *exportFile) drop() error {
	err := f.file.Close()
	if f.created {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}

// checkExports says what is wrong with the flags alone.
func checkExports(c *cli.Context) error {
	var errs []error
	if tool := c.String("compat"); c.IsSet("compat") && tool != "vllm" {
		errs = append(errs, fmt.Errorf("--compat %s: there is only vllm", tool))
	}
	for _, name := range []string{"vegeta", "samples"} {
		if c.String(name) == "-" {
			errs = append(errs, fmt.Errorf("--%s - is no file, and stdout has the report: give a file", name))
		}
	}
	toVegeta, toCSV := c.String("vegeta"), c.String("samples")
	if toVegeta != "" && filepath.Clean(toVegeta) == filepath.Clean(toCSV) {
		errs = append(errs, fmt.Errorf("--vegeta and --samples both name %s: give them two files", toVegeta))
	}
	return errors.Join(errs...)
}

// openExports opens the files that the flags name: what cannot be written is said before anything is sent. Whoever calls it
// calls close or drop.
func openExports(c *cli.Context, slo experiments.SLO, url string) (*exports, error) {
	e := &exports{}
	toVegeta, toCSV := c.String("vegeta"), c.String("samples")
	if err := checkExports(c); err != nil {
		return nil, err
	}
	if c.IsSet("compat") {
		// Its goodput knows no bounds on stalls and gaps.
		e.vllm = &results.VLLM{TTFT: slo.TTFT, TPOT: slo.TPOT, E2EL: slo.E2E}
		e.sinks = append(e.sinks, e.vllm)
	}
	err := e.create(toVegeta, func(f io.Writer) writingSink {
		name := strings.TrimSuffix(filepath.Base(toVegeta), filepath.Ext(toVegeta))
		return attacks.NewVegetaFile(f, name, url)
	})
	if err == nil {
		err = e.create(toCSV, func(f io.Writer) writingSink {
			e.csv = results.NewSamplesCSV(f)
			return e.csv
		})
	}
	if err != nil {
		return nil, errors.Join(err, e.drop())
	}
	return e, nil
}

// A writingSink writes the last of its file when it is closed.
type writingSink interface {
	results.Sink
	io.Closer
}

// create makes a file and its sink; no path, no file.
func (e *exports) create(path string, sink func(io.Writer) writingSink) error {
	if path == "" {
		return nil
	}
	f, err := openExport(path)
	if err != nil {
		return err
	}
	s := sink(f)
	f.sink = s
	e.sinks, e.files = append(e.sinks, s), append(e.files, f)
	return nil
}

// add hands a record to every sink.
func (e *exports) add(rec results.Record) error {
	var errs []error
	for _, s := range e.sinks {
		errs = append(errs, s.Add(rec))
	}
	return errors.Join(errs...)
}

// close writes what is left, and closes the files.
func (e *exports) close() error {
	var errs []error
	for _, f := range e.files {
		errs = append(errs, f.finish())
	}
	return errors.Join(errs...)
}

// drop leaves the files as they were: nothing was begun.
func (e *exports) drop() error {
	var errs []error
	for _, f := range e.files {
		errs = append(errs, f.drop())
	}
	return errors.Join(errs...)
}

// show writes a report as draw does, or as JSON, and beside it what the other tool would have said.
func (e *exports) show(p *program, rep *results.Report, asJSON bool, draw func(io.Writer, results.TableOptions) error) error {
	if asJSON && e.vllm == nil {
		return rep.WriteJSON(p.stdout)
	}
	var theirs results.VLLMReport
	if e.vllm != nil {
		theirs = e.vllm.Report()
	}
	if asJSON {
		return theirs.WriteJSON(p.stdout, rep)
	}
	if err := draw(p.stdout, p.tableOptions()); err != nil || e.vllm == nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	return theirs.Write(p.stdout, rep)
}
