// Package agent is what runs inside the virtual machine: it finishes the boot
// and runs the commands that the host sends. The program that boots the machine
// is the agent too, seen through the host's file system, so nothing is built
// for the guest.
package agent

// Port is the name of the virtio-serial port between host and guest. Both sides
// send Messages through it, gob after gob.
const Port = "podlan"

// Kernel parameters by which the host tells the guest where things are; the
// kernel hands them to the first process as its environment.
const (
	// ParamAgent is the path of the program.
	ParamAgent = "PODLAN_VM_AGENT"
	// ParamBusybox is the path of a static busybox.
	ParamBusybox = "PODLAN_VM_BUSYBOX"
	// ParamModules is the folder of the kernel's modules.
	ParamModules = "PODLAN_VM_MODULES"
)

// Message is what host and guest say to each other; exactly one field is set.
type Message struct {
	// From the host: run a command, end it.
	Start *Start
	Kill  bool
	// From the guest: it is up, a command wrote, a command is over.
	Ready  *Ready
	Output *Output
	Exit   *Exit
}

// Start asks for a command. One runs at a time.
type Start struct {
	Args []string
	Dir  string
	// Env is the whole environment, as "key=value".
	Env []string
}

// Ready says that the guest is up.
type Ready struct {
	// Release is the kernel's, as uname -r has it.
	Release string
}

// Output is what a command wrote.
type Output struct {
	Stderr bool
	Data   []byte
}

// Exit is the end of a command.
type Exit struct {
	// Code is the command's; 128 and the number of the signal that killed it.
	Code int
	// Err says why it could not be run.
	Err string
}
