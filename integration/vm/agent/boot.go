package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Main turns the process into the guest's agent where it is one, and else
// returns at once. Every program that boots a machine calls it first.
func Main() {
	if os.Getenv(ParamAgent) == "" {
		return
	}
	var err error
	if os.Getpid() == 1 {
		err = first()
	} else {
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err) // the console
		os.Exit(1)
	}
	os.Exit(0)
}

// first is process 1: it prepares the machine, starts the agent proper and
// buries orphans until that is over, and with it the machine.
func first() error {
	err := prepare()
	if err == nil {
		err = superviseAgent()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
	}
	return errors.Join(err, unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func superviseAgent() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("path of the agent: %w", err)
	}
	child, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case pid == child.Pid && status != 0:
			return fmt.Errorf("the agent ended with status %#x", int(status))
		case pid == child.Pid:
			return nil
		}
	}
}

// prepare makes of the host's file system a machine of its own: nothing of what
// the host has running shows in /run.
func prepare() error {
	for _, m := range []struct{ kind, path, options string }{
		{"tmpfs", "/run", "mode=0755"},
		{"devpts", "/dev/pts", "mode=0620,ptmxmode=0666"},
		{"tmpfs", "/dev/shm", "mode=1777"},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			return fmt.Errorf("mount point: %w", err)
		}
		if err := unix.Mount(m.kind, m.path, m.kind, unix.MS_NOSUID, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return fmt.Errorf("folder for namespaces: %w", err)
	}
	// As Linux has it by default since 6.7; a filter of a thousand claims
	// (pkg/wire) takes it.
	if err := os.WriteFile("/proc/sys/net/core/optmem_max", []byte("131072"), 0o644); err != nil {
		return fmt.Errorf("room for socket filters: %w", err)
	}
	if err := unix.Sethostname([]byte("podlan-vm")); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	return loadModules()
}

// modules are what a node of a cluster has at hand, and what tests may be the first
// to use at the same time: busybox' modprobe takes a module that is still being
// loaded for one that is there, and the kernel then finds none. What it asks for
// beyond them it gets through /proc/sys/kernel/modprobe.
func modules() []string {
	return []string{
		"virtio_console", "virtio_net",
		"bridge", "br_netfilter", "8021q", "veth", "macvlan", "dummy", "bonding", "tun", "af_packet",
		"nf_tables", "nft_meta_bridge", "nft_ct", "nft_limit", "nft_counter", "nft_reject_bridge", "nf_conntrack", "nf_conntrack_bridge",
		"nft_objref", "nft_nat", "nft_compat", "nft_chain_nat", "nft_masq", "iptable_filter", "iptable_nat", "ip6table_filter",
		"xt_physdev", "xt_comment", "xt_conntrack", "xt_addrtype", "xt_mark", "xt_nat", "xt_MASQUERADE",
		"ip_vs", "ip_vs_rr",
	}
}

// loadModules goes on without a module that this kernel does not have as one:
// it may be built in.
func loadModules() error {
	target := filepath.Join("/lib/modules", filepath.Base(os.Getenv(ParamModules)))
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("modules of the host: %w", err)
	}
	modprobe := "/run/podlan-vm/modprobe"
	for link, to := range map[string]string{target: os.Getenv(ParamModules), modprobe: os.Getenv(ParamBusybox)} {
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return fmt.Errorf("folder for a link: %w", err)
		}
		if err := os.Symlink(to, link); err != nil {
			return fmt.Errorf("link: %w", err)
		}
	}
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte(modprobe), 0o644); err != nil {
		return fmt.Errorf("the kernel's way to its modules: %w", err)
	}
	cmd := exec.Command(modprobe, append([]string{"-a"}, modules()...)...)
	if out, err := cmd.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("not found")) {
		return fmt.Errorf("modprobe: %w: %s", err, out)
	}
	if out, err := exec.Command(os.Getenv(ParamBusybox), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("set lo up: %w: %s", err, out)
	}
	return nil
}
