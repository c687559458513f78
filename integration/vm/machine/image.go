package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/podlan/podlan/integration/debs"
	"github.com/podlan/podlan/pkg/statefile"
)

// recipe is counted up when an image made by older code would not do.
const recipe = "1"

// image is what a machine boots.
type image struct {
	release string // the kernel's, as uname -r has it
	kernel  string
	initrd  string
	modules string // lib/modules/RELEASE, with the indices of depmod
	busybox string
}

// findImage returns the image of the cache, made once for each kernel.
func findImage(ctx context.Context) (image, error) {
	kernel, err := debs.Find(ctx, "linux")
	if err != nil {
		return image{}, fmt.Errorf("kernel for the virtual machine: %w", err)
	}
	busybox, err := debs.Find(ctx, "busybox")
	if err != nil {
		return image{}, fmt.Errorf("busybox for the virtual machine: %w", err)
	}
	cache, err := debs.CacheDir()
	if err != nil {
		return image{}, err
	}
	release := strings.TrimPrefix(filepath.Base(kernel.Path), "vmlinuz-")
	dir := filepath.Join(cache, "vm", release+"-"+recipe)
	im := image{
		release: release,
		kernel:  kernel.Path,
		initrd:  filepath.Join(dir, "initrd.gz"),
		modules: filepath.Join(dir, "lib/modules", release),
		busybox: busybox.Path,
	}
	lock, err := statefile.Acquire(ctx, filepath.Dir(dir), release+".lock")
	if err != nil {
		return image{}, fmt.Errorf("wait for another process that makes the image: %w", err)
	}
	defer lock.Release()
	if _, err := os.Stat(dir); err == nil {
		return im, nil
	}
	return im, makeImage(ctx, dir, kernel.Root, im)
}

// makeImage fills dir, which exists afterwards as a whole or not at all.
func makeImage(ctx context.Context, dir, kernelRoot string, im image) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), im.release+"-*.tmp")
	if err != nil {
		return fmt.Errorf("folder for the image: %w", err)
	}
	defer os.RemoveAll(work)
	rel := filepath.Join("lib/modules", im.release)
	tree := filepath.Join(work, rel)
	if err := pickModules(ctx, im.busybox, modulesOf(kernelRoot, im.release), tree); err != nil {
		return err
	}
	if err := depmod(ctx, im.busybox, work, im.release); err != nil {
		return err
	}
	if err := writeInitrd(filepath.Join(work, "initrd.gz"), im.busybox, tree); err != nil {
		return err
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return fmt.Errorf("folder for the image: %w", err)
	}
	if err := os.Rename(work, dir); err != nil {
		return fmt.Errorf("put the image into place: %w", err)
	}
	return nil
}

// modulesOf returns the folder of a kernel's modules: a root with a merged /usr
// has it there.
func modulesOf(root, release string) string {
	merged := filepath.Join(root, "usr/lib/modules", release)
	if _, err := os.Stat(merged); err == nil {
		return merged
	}
	return filepath.Join(root, "lib/modules", release)
}
