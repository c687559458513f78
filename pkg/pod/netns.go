package pod

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// NetnsInode returns the inode that names the namespace at path for as long as
// anybody holds it. fs.ErrNotExist: the path is gone, or a namespace no more
// (a mount point whose mount has gone is an empty file).
func NetnsInode(path string) (uint64, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	var fsInfo unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsInfo); err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	if fsInfo.Type != unix.NSFS_MAGIC {
		return 0, fmt.Errorf("%s is no namespace: %w", path, fs.ErrNotExist)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return st.Ino, nil
}
