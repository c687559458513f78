package segment

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxName is the longest name of a link, in bytes: the kernel's IFNAMSIZ without
// its terminator.
const maxName = 15

// Alias marks a link that Podlan made under that name. One that was renamed
// since is somebody else's.
func Alias(name string) string { return "podlan:1:" + digest(name)[:12] }

// What a temporary name is for.
const (
	tempBridge  = 't'
	tempSub     = 's'
	tempOuter   = 'o'
	tempGateway = 'g'

	tempKinds  = "tsog"
	tempPrefix = "podlan-"
	tempDigits = 6
)

// temporary is the name under which a link of the bridge is made. One that
// stands while nobody holds the lock of the bridge's own (temporary with
// tempBridge) was left by a plugin that died.
func temporary(bridge string, what rune) string {
	return tempPrefix + string(what) + digest(bridge)[:tempDigits]
}

// reserved tells whether the name is a temporary one.
func reserved(name string) bool {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(rest) != 1+tempDigits || !strings.ContainsRune(tempKinds, rune(rest[0])) {
		return false
	}
	_, err := hex.DecodeString(rest[1:])
	return err == nil
}

// temporaryLock is the lock under which a link of that temporary name is made.
func temporaryLock(name string) string {
	return tempPrefix + string(tempBridge) + name[len(tempPrefix)+1:]
}

func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// bridgeName is that of a bridge over a sub-interface: <bridge>-<vid>, or
// <bridge>-<outer>.<vid>.
func bridgeName(bridge string, outer, vid uint16) string {
	if outer != 0 {
		return fit(bridge, fmt.Sprintf("-%d.%d", outer, vid))
	}
	return fit(bridge, fmt.Sprintf("-%d", vid))
}

// deviceName is that of the VLAN device on a link: <link>.<vid>.
func deviceName(link string, vid uint16) string { return fit(link, fmt.Sprintf(".%d", vid)) }

// innerName is that of the inner one of two: <link>.<outer>.<vid>.
func innerName(link string, outer, vid uint16) string {
	return fit(link, fmt.Sprintf(".%d.%d", outer, vid))
}

// fit puts the suffix behind the base. Where both are too long, the base is
// shortened to its beginning and a hash of it: the VIDs stay readable, and two
// bases that begin alike stay apart.
func fit(base, suffix string) string {
	room := maxName - len(suffix)
	if len(base) <= room {
		return base + suffix
	}
	sum := sha256.Sum256([]byte(base))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:min(6, room-1)]
	return base[:room-len(hash)] + hash + suffix
}
