package netconf

// Attachment is an entry of `cni.dev/valid-attachments`.
type Attachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// validKeys: the specification's, and the one that runtimes also send because
// an earlier text of it had it so.
func validKeys() []string { return []string{"cni.dev/valid-attachments", "cni.dev/attachments"} }

// ValidAttachments returns the attachments that a GC is to keep. That none are
// listed is an answer; a missing list is an error of code 7, since acting on it
// would end every attachment of the network.
func ValidAttachments(stdin []byte) ([]Attachment, error) {
	conf, err := decode(stdin)
	if err != nil {
		return nil, err
	}
	var valid []Attachment
	found := false
	for _, key := range validKeys() {
		if _, there := conf.raw[key]; there && !found {
			conf.read(key, &valid, "a list of objects with containerID, ifname")
			found = true
		}
	}
	if !found {
		conf.fail(validKeys()[0], "absent", "allowed: a list of objects with containerID, ifname; an empty one too")
	}
	if conf.first.err != nil {
		return nil, conf.first.err
	}
	return valid, nil
}
