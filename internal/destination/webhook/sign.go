package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

const secretPrefix = "whsec_"

// ReadSecrets reads one or more secrets, separated by white space. After
// whsec_, a secret is in base64. A secret without this prefix is the key
// itself.
func ReadSecrets(text string) ([][]byte, error) {
	var keys [][]byte
	for secret := range strings.FieldsSeq(text) {
		encoded, ok := strings.CutPrefix(secret, secretPrefix)
		if !ok {
			keys = append(keys, []byte(secret))
			continue
		}
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil || len(key) == 0 {
			return nil, errors.New("what follows whsec_ in a secret must be base64")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("a webhook needs a secret: secret, secret_env or secret_file")
	}
	return keys, nil
}

// Sign returns the header webhook-signature of a message. It has one signature
// for each key, so that a receiver can change its secret at any time.
func Sign(keys [][]byte, id, timestamp string, body []byte) string {
	var all []byte
	for i, key := range keys {
		if i > 0 {
			all = append(all, ' ')
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		all = base64.StdEncoding.AppendEncode(append(all, "v1,"...), mac.Sum(nil))
	}
	return string(all)
}
