package lease

import (
	"time"

	"github.com/podlan/podlan/pkg/dhcp4"
	"github.com/podlan/podlan/pkg/fault"
	"github.com/podlan/podlan/pkg/leaseapi"
)

// eraseAgain is how long a file stays that could not be removed.
const eraseAgain = 30 * time.Second

// unerased is such a file: the next podland would take the lease up.
type unerased struct {
	key leaseapi.Key
	at  time.Duration
}

// erase removes a key's file and then calls then if it is not nil.
func (k *Keeper) erase(key leaseapi.Key, then func()) {
	name := key.Hash()
	k.store.add(name, func() {
		err := k.dir.Delete(name)
		if err == nil {
			fault.Point("lease.erased")
		}
		k.later(func() { k.erased(key, err, then) })
	})
}

func (k *Keeper) erased(key leaseapi.Key, err error, then func()) {
	if err != nil {
		k.cfg.Log.Error("the file of a lease that is over cannot be removed", "key", key.String(), "error", err)
		k.unerased = append(k.unerased, unerased{key: key, at: k.cfg.Now() + eraseAgain})
	}
	if then != nil {
		then()
	}
}

// eraseMore tries again, and returns when the next is due. What has another
// owner meanwhile is left.
func (k *Keeper) eraseMore(now time.Duration) time.Duration {
	for len(k.unerased) > 0 {
		u := k.unerased[0]
		if now < u.at {
			return u.at
		}
		k.unerased = k.unerased[1:]
		if k.files[u.key] == nil {
			k.erase(u.key, nil)
		}
	}
	return dhcp4.Never
}

// eraseFormer removes the files under the entry's former keys.
func (k *Keeper) eraseFormer(e *entry) {
	files := e.files
	e.files = nil
	for _, key := range files {
		if key == e.key {
			e.files = append(e.files, key)
			continue
		}
		k.eraseOwn(e, key, nil)
	}
}

// eraseAll removes all files of the entry and then calls then if it is not nil.
func (k *Keeper) eraseAll(e *entry, then func()) {
	files, asked := e.files, e.mark.line
	e.files, e.mark = nil, mark{}
	left := 1
	one := func() {
		if left--; left > 0 {
			return
		}
		k.settled(asked)
		if then != nil {
			then()
		}
	}
	for _, key := range files {
		left++
		k.eraseOwn(e, key, one)
	}
	one()
}

// eraseOwn removes a file unless it is another entry's by now.
func (k *Keeper) eraseOwn(e *entry, key leaseapi.Key, then func()) {
	if k.files[key] == e {
		delete(k.files, key)
		k.erase(key, then)
		return
	}
	if then != nil {
		then()
	}
}
