package attacks

import "sync"

// users are the people of those kinds of client that say how many there are, numbered from 1 over all kinds. They
// remember who asked what, so that it can be said whose text was found in whose answer. Safe for concurrent use.
type users struct {
	first []int // of each client, the number of its first user
	count []int // of each client; 0: each conversation has a new one

	mu   sync.Mutex
	last []uint64 // of each user, 1 + the index of the last request; nil before there is one
	of   []uint32 // of each request, its user; as far as any was sent
}

func newUsers(clients []Client) *users {
	u := &users{}
	next := 1
	for _, c := range clients {
		u.first, u.count = append(u.first, next), append(u.count, c.Users)
		next += c.Users
	}
	return u
}

// draw gives the user who holds a conversation that begins with j; 0: one of its own.
func (u *users) draw(j *job) int {
	n := u.count[j.client]
	if n == 0 {
		return 0
	}
	return u.first[j.client] + int(j.unit(userStream)*float64(n))
}

// sent notes that a turn is on its way.
func (u *users) sent(t *turn) {
	if t.user == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		last := len(u.first) - 1
		u.last = make([]uint64, u.first[last]+u.count[last])
	}
	u.last[t.user] = max(u.last[t.user], t.index+1)
	for uint64(len(u.of)) <= t.index {
		u.of = append(u.of, 0)
	}
	u.of[t.index] = uint32(t.user) //nolint:gosec // at most maxKindUsers for each of a few clients
}

// lastOf is the index of the user's last request; false: there was none, or no such user.
func (u *users) lastOf(user uint64) (index uint64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if user >= uint64(len(u.last)) || u.last[user] == 0 {
		return 0, false
	}
	return u.last[user] - 1, true
}

// who is the user who sent a request; 0: one of its own.
func (u *users) who(index uint64) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if index >= uint64(len(u.of)) {
		return 0
	}
	return int(u.of[index])
}
