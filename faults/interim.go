package faults

import (
	"context"
	"errors"

	"github.com/failwhale/failwhale/results"
	"github.com/failwhale/failwhale/targets"
)

var errInterim = errors.New("not built yet")

func (*RegionKill) Prepare(context.Context, *targets.Stack) error { return errInterim }
func (*RegionKill) Inject(context.Context, *targets.Stack) error  { return errInterim }
func (*RegionKill) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{}, errInterim
}

func (*RegionKill) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return "", errInterim
}
func (*ConfigPush) Prepare(context.Context, *targets.Stack) error { return errInterim }
func (*ConfigPush) Inject(context.Context, *targets.Stack) error  { return errInterim }
func (*ConfigPush) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{}, errInterim
}

func (*ConfigPush) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return "", errInterim
}
func (*GPUThrottle) Prepare(context.Context, *targets.Stack) error { return errInterim }
func (*GPUThrottle) Inject(context.Context, *targets.Stack) error  { return errInterim }
func (*GPUThrottle) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{}, errInterim
}

func (*GPUThrottle) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return "", errInterim
}
func (*DependencyLatency) Prepare(context.Context, *targets.Stack) error { return errInterim }
func (*DependencyLatency) Inject(context.Context, *targets.Stack) error  { return errInterim }
func (*DependencyLatency) Evidence(context.Context, *targets.Stack) (results.Evidence, error) {
	return results.Evidence{}, errInterim
}

func (*DependencyLatency) Revert(context.Context, *targets.Stack) (results.Restored, error) {
	return "", errInterim
}
