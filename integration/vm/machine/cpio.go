package machine

import (
	"bytes"
	"fmt"
)

// File modes as the archive has them: type and permissions.
const (
	modeDir     = 0o040755
	modeFile    = 0o100644
	modeProgram = 0o100755
	modeSymlink = 0o120777
)

// cpio writes an archive in the format "newc", the kernel's for an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpio struct {
	w     *bytes.Buffer
	inode int
}

func (c *cpio) add(name string, mode int, content []byte) {
	c.inode++
	fields := []int{c.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0}
	c.w.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(c.w, "%08x", f)
	}
	c.w.WriteString(name + "\x00")
	c.pad()
	c.w.Write(content)
	c.pad()
}

func (c *cpio) end() { c.add("TRAILER!!!", 0, nil) }

// pad fills up to four bytes, which headers and contents begin at.
func (c *cpio) pad() {
	for c.w.Len()%4 != 0 {
		c.w.WriteByte(0)
	}
}
