package pod_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// send writes a frame to a packet socket.
func send(t *testing.T, fd int, frame []byte) {
	t.Helper()
	if _, err := unix.Write(fd, frame); err != nil {
		t.Fatal(err)
	}
}
