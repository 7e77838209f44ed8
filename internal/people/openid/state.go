package openid

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"time"

	"golang.org/x/oauth2"
)

// StateTime is how long somebody may take to sign in at the provider.
const StateTime = 10 * time.Minute

// state is what has to be known of somebody who is at the provider. It is in a
// sealed cookie, so that a stranger cannot fill the server's memory.
type state struct {
	State    string `json:"state"`    // ties the answer to this browser
	Nonce    string `json:"nonce"`    // ties the ID token to this sign-in
	Verifier string `json:"verifier"` // ties the code to this sign-in (PKCE, RFC 7636)
	Until    int64  `json:"until"`    // Unix seconds
}

func newState(now time.Time) state {
	return state{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), now.Add(StateTime).Unix()}
}

func (s *state) holds(now time.Time) bool { return now.Unix() < s.Until }

func (s *state) is(sent string) bool { return same(s.State, sent) }

// same reports whether two texts are the same, and not empty.
func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// The purposes of sealed texts. A text opens for its own purpose only.
const (
	forState   = "state"
	forRefusal = "refusal"
)

// mostSealed bounds a text before any work is done for it.
const mostSealed = 2 << 10

// sealer makes texts that only this process can make and read.
type sealer struct{ box cipher.AEAD }

func newSealer() sealer {
	const keyLength = 32
	key := make([]byte, keyLength)
	_, _ = rand.Read(key)            // it never fails
	block, err := aes.NewCipher(key) // it fails for another length only
	box, err2 := cipher.NewGCMWithRandomNonce(block)
	if err != nil || err2 != nil {
		panic("bug: the key has a wrong length")
	}
	return sealer{box}
}

func (s sealer) seal(what string, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(s.box.Seal(nil, nil, text, []byte(what))) //nolint:gosec // G407: the box makes a random nonce
}

func (s sealer) open(what, sealed string, v any) bool {
	if len(sealed) > mostSealed {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return false
	}
	text, err := s.box.Open(nil, nil, b, []byte(what))
	return err == nil && json.Unmarshal(text, v) == nil
}
