package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/failwhale/failwhale/experiments"
	"github.com/failwhale/failwhale/results"
)

func main() {
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		lookupEnv: os.LookupEnv, self: self(),
	}
	os.Exit(int(p.run(os.Args)))
}

// A program is failwhale with everything of the process that it may touch.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	self           string   // the path that runs this binary again
	args           []string // as run was given them
}

// self prefers the path by which the binary is known. A binary that was deleted
// while it runs (go run) can only be executed through /proc.
func self() string {
	path, err := os.Executable()
	if err == nil {
		if _, err = os.Stat(path); err == nil {
			return path
		}
	}
	return "/proc/self/exe"
}

// An exitError ends the program with a code. A nil err prints nothing.
type exitError struct {
	code results.Exit
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is an error of the command line or of a file that it names: exit 2.
func usage(format string, args ...any) error {
	return &exitError{code: results.ExitUsage, err: fmt.Errorf(format, args...)}
}

// exit ends with a code whose reason has been printed already.
func exit(code results.Exit) error {
	if code == results.ExitHeld {
		return nil
	}
	return &exitError{code: code}
}

func (p *program) run(args []string) (code results.Exit) {
	p.args = args
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(p.stderr, "failwhale: panic: %v\n%s", v, debug.Stack())
			code = results.Worst(results.ExitUndecided, p.revertAfterPanic())
		}
	}()
	err := p.app().Run(args)
	if err == nil {
		return results.ExitHeld
	}
	code = results.ExitUndecided
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(p.stderr, "failwhale: %s\n", strings.TrimSuffix(text, "\n"))
	}
	return code
}

func (p *program) app() *cli.App {
	app := &cli.App{
		Name:  "failwhale",
		Usage: "find out how an LLM stack fails before its users do",
		Description: "One experiment file joins load that behaves like streaming users, faults that are injected\n" +
			"and always undone, and hypotheses about what they see. The answer is held, refuted or undecided.",
		HideVersion: true,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version", Action: func(*cli.Context, bool) error {
			return p.printVersion()
		}}},
		Reader: p.stdin, Writer: p.stdout, ErrWriter: p.stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // codes are run's to give
		OnUsageError:   onUsageError,
		Commands: []*cli.Command{
			p.runCommand(), p.validateCommand(), p.drillsCommand(), p.faultsCommand(), p.reportCommand(),
			p.revertCommand(), p.stackCommand(), p.attackCommand(), p.calibrateCommand(), p.proxyCommand(), p.versionCommand(),
			p.reaperCommand(), p.nodeCommand(), p.smiCommand(), p.perfectServerCommand(),
		},
	}
	app.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand(app.Commands, c.Args().First())
		}
		if c.Bool("version") {
			return nil
		}
		return cli.ShowAppHelp(c)
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		c.CustomHelpTemplate = commandHelp
		for _, f := range c.Flags {
			if flag, ok := f.(*cli.BoolFlag); ok {
				flag.DisableDefaultText = true // that a switch is off goes without saying
			}
		}
		if !c.SkipFlagParsing {
			c.Action = p.flagsFirst(c)
		}
	}
	return app
}

// commandHelp shows a command as man pages do: what it is, how to call it, an example, its exit codes.
const commandHelp = `{{.HelpName}}: {{.Usage}}

USAGE
   {{.HelpName}}{{if .VisibleFlags}} [flags]{{end}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}
{{if .Description}}
{{.Description}}
{{end}}{{if .VisibleFlags}}
FLAGS{{range .VisibleFlags}}
   {{.}}{{end}}
{{end}}`

// undefinedFlag is how package flag says that there is no such flag.
const undefinedFlag = "flag provided but not defined: -"

func onUsageError(c *cli.Context, err error, _ bool) error {
	if ours := flagError(c, err); ours != nil {
		return ours
	}
	if name, ok := strings.CutPrefix(err.Error(), undefinedFlag); ok {
		var names []string
		for _, f := range c.Command.Flags {
			names = append(names, "--"+f.Names()[0])
		}
		if hint := experiments.DidYouMean("--"+name, names); hint != "" {
			return usage("%w%s", err, hint)
		}
	}
	return usage("%w; see --help", err)
}

// flagsFirst wraps a command's action: urfave/cli stops to look for flags at the first argument,
// so one that comes later would silently be taken for an argument.
func (p *program) flagsFirst(c *cli.Command) cli.ActionFunc {
	action := c.Action
	return func(ctx *cli.Context) error {
		args := ctx.Args().Slice()
		i := slices.IndexFunc(args, func(a string) bool { return len(a) > 1 && a[0] == '-' })
		if i < 0 {
			return action(ctx)
		}
		given := p.args[2 : len(p.args)-len(args)] // program and command, then flags, then args
		words := slices.Concat([]string{"failwhale", c.Name}, given, args[i:], args[:i])
		return usage("flag %s comes after an argument; write: %s", args[i], shellWords(words))
	}
}

// shellWords joins words as a shell reads them, without the values of headers, which may be secret.
func shellWords(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
			if strings.TrimLeft(words[i-1], "-") == "header" {
				w = "NAME: VALUE"
			}
		}
		if strings.HasPrefix(w, "--header=") || strings.HasPrefix(w, "-header=") {
			w = "--header=NAME: VALUE"
		}
		if strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?`") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		b.WriteString(w)
	}
	return b.String()
}

func unknownCommand(commands []*cli.Command, name string) error {
	visible := slices.DeleteFunc(slices.Clone(commands), func(c *cli.Command) bool { return c.Hidden })
	if s := cli.SuggestCommand(visible, name); s != "" {
		return usage("unknown command %q; %s", name, strings.ToLower(s[:1])+s[1:])
	}
	return usage("unknown command %q; see failwhale --help", name)
}

// colour reports whether w is a terminal whose user has not asked for plain text (no-color.org).
func (p *program) colour(w io.Writer) bool {
	if v, ok := p.lookupEnv("NO_COLOR"); ok && v != "" {
		return false
	}
	return isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// stateDir is where the journal lives: $FAILWHALE_STATE, else the XDG state home, for root /var/lib/failwhale.
func (p *program) stateDir() (string, error) {
	if dir, ok := p.lookupEnv("FAILWHALE_STATE"); ok && dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/failwhale", nil
	}
	if dir, ok := p.lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "failwhale"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for the journal: %w; set FAILWHALE_STATE", err)
	}
	return filepath.Join(home, ".local", "state", "failwhale"), nil
}

// exitCode ends with another program's code, whose output has been printed already.
func exitCode(code int) error { return exit(results.Exit(code)) }
