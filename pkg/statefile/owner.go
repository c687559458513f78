package statefile

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// owner returns who owns path, and whether that is somebody else.
func owner(path string) (uid, gid int, foreign bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false, fmt.Errorf("%s: no owner known", path)
	}
	return int(st.Uid), int(st.Gid), int(st.Uid) != os.Geteuid(), nil
}

// giveToOwner makes f belong to the owner of the directory it lies in.
func giveToOwner(f *os.File, dir string) error {
	uid, gid, foreign, err := owner(dir)
	if err != nil || !foreign {
		return err
	}
	return f.Chown(uid, gid)
}

func chownLikeParent(path string) error {
	uid, gid, foreign, err := owner(filepath.Dir(path))
	if err != nil || !foreign {
		return err
	}
	return os.Chown(path, uid, gid)
}
