package statefile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// owner returns who owns a file of that description.
func owner(info fs.FileInfo) (uid, gid int, err error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("%s: no owner known", info.Name())
	}
	return int(st.Uid), int(st.Gid), nil
}

// giveToOwner makes f belong to the owner of the directory it lies in, unless
// it does: a read-only file system refuses even that.
func giveToOwner(f *os.File, dir string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return like(dir, info, f.Chown)
}

func chownLikeParent(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return like(filepath.Dir(path), info, func(uid, gid int) error { return os.Chown(path, uid, gid) })
}

// like calls chown with the directory's owner, unless the file has it.
func like(dir string, file fs.FileInfo, chown func(uid, gid int) error) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	uid, gid, err := owner(info)
	if err != nil {
		return err
	}
	if has, _, err := owner(file); err != nil || has == uid {
		return err
	}
	return chown(uid, gid)
}
