package asfake

import (
	"encoding/binary"

	"github.com/aerospike/aerospike-client-go/v7/pkg/bcrypt"
)

const (
	adminHeader       = 16
	adminAuthenticate = 0
	adminLogin        = 20

	adminUser       = 0
	adminCredential = 3
	adminToken      = 5
	adminTTL        = 6

	// The client hashes passwords with a salt that is part of the protocol.
	passwordSalt = "$2a$10$7EqJtq98hPqEX7fNZaFWoO"
	token        = "asfake-session"
	tokenSeconds = 24 * 60 * 60
)

// admin answers an administration message: only logging in is known.
func (s *Server) admin(body []byte) (answer []byte, ok bool) {
	c := &cursor{rest: body}
	head := c.take(adminHeader)
	fields := make(map[byte]string)
	for n := int(head[3]); n > 0 && !c.bad; n-- {
		size := int(c.u32())
		id := c.u8()
		fields[id] = string(c.take(size - 1))
	}
	code, withToken := s.login(head[2], fields), false
	if c.bad {
		code = ParameterError
	}
	answer = make([]byte, adminHeader)
	answer[1] = byte(code)
	if withToken = code == OK && head[2] == adminLogin; withToken {
		answer[3] = 2
		answer = appendAdminField(answer, adminToken, []byte(token))
		answer = appendAdminField(answer, adminTTL, binary.BigEndian.AppendUint32(nil, tokenSeconds))
	}
	return answer, code == OK
}

func appendAdminField(dst []byte, id byte, data []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)+1))
	return append(append(dst, id), data...)
}

func (s *Server) login(command byte, fields map[byte]string) Code {
	if fields[adminUser] != s.opts.User {
		return invalidUser
	}
	switch command {
	case adminLogin:
		want, err := bcrypt.Hash(s.opts.Password, passwordSalt)
		if err != nil || fields[adminCredential] != want {
			return invalidPassword
		}
	case adminAuthenticate:
		if fields[adminToken] != token {
			return notAuthenticated
		}
	default:
		return UnsupportedFeature
	}
	return OK
}
