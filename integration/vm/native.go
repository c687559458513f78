package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/podlan/podlan/integration/vm/machine"
	"github.com/podlan/podlan/pkg/rtnl/rtnltest"
)

// probe says on standard output whether this kernel does VLANs itself: exit code
// 0 if it does, 1 if not.
func probe() (int, error) {
	switch err := rtnltest.ProbeVLAN(); {
	case errors.Is(err, rtnltest.ErrNoVLAN):
		fmt.Fprintln(os.Stdout, err)
		return 1, nil
	case err != nil:
		return 0, err
	}
	fmt.Fprintln(os.Stdout, "this kernel does 802.1Q and bridge VLAN filtering")
	return 0, nil
}

// native runs the command on this machine.
func native(ctx context.Context, c machine.Command) (int, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
	err := cmd.Run()
	var exited *exec.ExitError
	if errors.As(err, &exited) && ctx.Err() == nil {
		return exited.ExitCode(), nil
	}
	return 0, err
}
