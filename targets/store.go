package targets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// MaxConfig is the largest document that a ConfigStore reads, in bytes.
const MaxConfig = 64 << 20

// ErrChanged says that a store holds something else than the change was made from.
var ErrChanged = errors.New("config was changed meanwhile")

// A Document is what a config store holds. Absent is not the same as empty.
type Document struct {
	Body   []byte
	Absent bool
	// Version names this state of the store: an ETag, or a digest. Empty if Absent.
	Version string
	// Type is the media type of Body, if the store says one.
	Type string
}

// A ConfigStore is a config store whose changes are made only on what was read
// before: whoever else changed it meanwhile is never overwritten.
type ConfigStore struct {
	name    string
	readers string
	stack   *Stack
	backend backend
}

// backend is one kind of store. All of its errors name what was done to which resource.
type backend interface {
	read(ctx context.Context) (Document, error)
	// swap and remove return ErrChanged if the store no longer holds was.
	swap(ctx context.Context, was Document, body []byte) error
	remove(ctx context.Context, was Document) error
	// fence rules out that a change which was made from was, and never answered, is still carried out. ErrChanged: it was.
	fence(ctx context.Context, was Document) error
	// resource is the same for whoever changes the same document.
	resource() string
	// check says what can be known to stand in the way of a swap without making one.
	check(ctx context.Context) error
}

// Read returns what the store holds.
func (c *ConfigStore) Read(ctx context.Context) (Document, error) {
	if ctx.Err() != nil { // a file would not notice
		return Document{}, c.wrap(context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	d, err := c.backend.read(ctx)
	return d, c.wrap(err)
}

// Check returns why a Swap cannot be done, as far as that can be told without
// changing anything.
func (c *ConfigStore) Check(ctx context.Context) error { return c.wrap(c.backend.check(ctx)) }

// Swap replaces was, as Read gave it, by body, and creates what was absent. The
// error is ErrChanged if the store no longer holds was.
func (c *ConfigStore) Swap(ctx context.Context, was Document, body []byte) error {
	if ctx.Err() != nil {
		return c.wrap(context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return c.wrap(c.backend.swap(ctx, was, body))
}

// Remove makes was absent. The error is ErrChanged if the store no longer holds was.
func (c *ConfigStore) Remove(ctx context.Context, was Document) error {
	if ctx.Err() != nil {
		return c.wrap(context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return c.wrap(c.backend.remove(ctx, was))
}

// Fence rules out that a change which someone made from was, and who died before it was answered, is
// still carried out. It keeps the bytes: a server gets them again and makes a new version of them, if its ETags
// are not of the content alone; a file loses what an interrupted change left beside it. The error is ErrChanged if the store no longer holds was.
func (c *ConfigStore) Fence(ctx context.Context, was Document) error {
	if ctx.Err() != nil {
		return c.wrap(context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return c.wrap(c.backend.fence(ctx, was))
}

// Resource names the document: the same for all stacks that share it.
func (c *ConfigStore) Resource() string { return c.backend.resource() }

// Readers counts the consumers that have read what is in force. False: the store does not count them.
func (c *ConfigStore) Readers(ctx context.Context) (Count, bool, error) {
	if c.readers == "" {
		return Count{}, false, nil
	}
	var n Count
	if err := c.stack.ask(ctx, askLimit, http.MethodGet, c.readers, &n); err != nil {
		return Count{}, true, c.wrap(fmt.Errorf("count its readers: %w", err))
	}
	return n, true, nil
}

func (c *ConfigStore) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %w", c.name, err)
}
