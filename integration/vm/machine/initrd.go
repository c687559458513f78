package machine

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/podlan/podlan/integration/vm/agent"
)

// script is the first program of the guest: it makes the host's file system,
// with a layer in memory that takes what is written, the guest's own.
const script = `#!/bin/busybox sh
export PATH=/bin
set -e
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read m; do insmod $m; done </modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
mount -t tmpfs -o size=75%,mode=0755 rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /root
for m in dev proc sys; do mount --move /$m /root/$m; done
exec switch_root /root "$` + agent.ParamAgent + `"
`

// applets are what the script runs.
const applets = "sh mount insmod mkdir switch_root"

// writeInitrd writes the initramfs: busybox, the modules that reach the host's
// file system, and the script.
func writeInitrd(path, busybox, tree string) error {
	var archive bytes.Buffer
	w := cpio{w: &archive}
	for dir := range strings.FieldsSeq("bin dev proc sys modules host rw root") {
		w.add(dir, modeDir, nil)
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		return fmt.Errorf("busybox: %w", err)
	}
	w.add("bin/busybox", modeProgram, binary)
	for applet := range strings.FieldsSeq(applets) {
		w.add("bin/"+applet, modeSymlink, []byte("busybox"))
	}
	files, err := closure(tree, strings.Fields("virtio_pci 9pnet_virtio 9p overlay"))
	if err != nil {
		return err
	}
	var order strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(tree, file))
		if err != nil {
			return fmt.Errorf("module: %w", err)
		}
		name := "modules/" + filepath.Base(file)
		w.add(name, modeFile, content)
		order.WriteString("/" + name + "\n")
	}
	w.add("modules/order", modeFile, []byte(order.String()))
	w.add("init", modeProgram, []byte(script))
	w.end()
	return compressed(path, &archive)
}

func compressed(path string, from io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	if _, err := io.Copy(z, from); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return f.Close()
}
