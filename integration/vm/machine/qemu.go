package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/integration/vm/agent"
)

// cmdline returns the kernel's parameters. An oops ends the machine: what the
// kernel does after one is nothing to test with.
func cmdline(im image, self string) string {
	return strings.Join([]string{
		"console=ttyS0 quiet panic=-1 oops=panic mitigations=off",
		"dummy.numdummies=0 bonding.max_bonds=0", // links only where somebody makes them
		agent.ParamAgent + "=" + self,
		agent.ParamBusybox + "=" + im.busybox,
		agent.ParamModules + "=" + im.modules,
	}, " ")
}

// arguments returns QEMU's for a machine that hangs on no network but its own.
func arguments(o Options, accel string, im image, self, socket string) []string {
	args := []string{
		"-accel", accel, "-cpu", cpuOf(accel), "-smp", "2", "-m", "2G",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-kernel", im.kernel, "-initrd", im.initrd, "-append", cmdline(im, self),
		"-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-rng-pci",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=" + socket,
		"-device", "virtserialport,chardev=agent,name=" + agent.Port,
	}
	for i := range o.NICs {
		// Two NICs to a hub: a cable.
		args = append(args,
			"-netdev", fmt.Sprintf("hubport,id=nic%d,hubid=%d", i, i/2),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=nic%d,mac=52:54:00:12:34:%02x,romfile=", i, 0x56+i))
	}
	return args
}

func cpuOf(accel string) string {
	if accel == kvm {
		return "host"
	}
	return "max"
}

// qemu returns the command line. The process dies with this one.
func qemu(ctx context.Context, args []string) (*exec.Cmd, error) {
	tool, err := debs.Find(ctx, "qemu")
	if err != nil {
		return nil, fmt.Errorf("emulator for the virtual machine: %w", err)
	}
	if tool.Root != "" {
		args = append(args, "-L", filepath.Join(tool.Root, "usr/share/qemu"), "-L", filepath.Join(tool.Root, "usr/share/seabios"))
	}
	cmd := tool.Command(ctx, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	return cmd, nil
}

const (
	kvm = "kvm"
	tcg = "tcg,thread=multi"
)

// accels returns what to try, best first. A /dev/kvm says little: on a processor
// without virtualization, or one that hides it, a guest hangs in it.
func accels() []string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !strings.Contains(string(info), " vmx") && !strings.Contains(string(info), " svm") {
		return []string{tcg}
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return []string{tcg}
	}
	_ = f.Close()
	return []string{kvm, tcg}
}
