package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/failwhale/failwhale/faults"
	"github.com/failwhale/failwhale/targets"
)

// A bad config is pushed into a file, and taken back.
func Example() {
	if err := pushAndTakeBack(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// in force: {"pools":null}
	// restored: {"pools":["a"]}
}

func pushAndTakeBack(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory that stays is no harm
	file := filepath.Join(dir, "router.json")
	if err := os.WriteFile(file, []byte(`{"pools":["a"]}`), 0o600); err != nil {
		return err
	}
	stack, err := targets.Open(ctx, targets.Spec{
		Endpoints: map[string]targets.Endpoint{"api": {URL: "http://127.0.0.1:8000"}},
		Stores:    map[string]targets.Store{"router_config": {File: file}},
	}, targets.Launcher{})
	if err != nil {
		return err
	}
	journal, err := faults.OpenJournal(filepath.Join(dir, "journal"))
	if err != nil {
		return err
	}
	armed, err := journal.Arm(ctx, stack, faults.Intent{
		Run: "example", ID: "cfg", Kind: "config.push", TTL: time.Minute,
		Fault: &faults.ConfigPush{Store: "router_config", Set: map[string]any{"pools": nil}},
	})
	if err != nil {
		return err
	}
	err = armed.Inject(ctx)
	if err == nil {
		err = show("in force", file)
	}
	done := armed.Revert(ctx) // whatever came before
	if err != nil || done.Err != nil {
		return fmt.Errorf("%w; revert: %w", err, done.Err)
	}
	return show(string(done.Restored), file)
}

func show(what, file string) error {
	text, err := os.ReadFile(file)
	fmt.Printf("%s: %s\n", what, text)
	return err
}
