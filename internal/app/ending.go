package app

import (
	"time"

	"trackway"
)

// inForce returns the overrides that have not ended.
func inForce(overrides []trackway.Override, now time.Time) []trackway.Override {
	var list []trackway.Override
	for _, o := range overrides {
		if o.Until.IsZero() || now.Before(o.Until) {
			list = append(list, o)
		}
	}
	return list
}

// nextEnd returns when the next override ends, zero if none does.
func nextEnd(overrides []trackway.Override, now time.Time) (end time.Time) {
	for _, o := range inForce(overrides, now) {
		if !o.Until.IsZero() && (end.IsZero() || o.Until.Before(end)) {
			end = o.Until
		}
	}
	return end
}

// awaitEndLocked has the guide made anew when the next override ends: the limiter knows that by itself, what is published does not.
func (s *server) awaitEndLocked() {
	if s.ending != nil {
		s.ending.Stop()
		s.ending = nil
	}
	if end := nextEnd(s.Config.Overrides, time.Now()); !end.IsZero() && !s.stopping.Load() {
		s.ending = time.AfterFunc(time.Until(end), s.overrideEnded)
	}
}

// awaitNoEnd is for the stop.
func (s *server) awaitNoEnd() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitEndLocked()
}

// overrideEnded publishes what is in force now. Where the clock was set back meanwhile, that is the same as before.
func (s *server) overrideEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return
	}
	access := s.api.Access()
	guide, err := s.publish(s.Config, s.limits.Set())
	if err != nil {
		s.Log.Error("the guide still shows an override that has ended", "err", err)
		return
	}
	access.Guide = guide
	s.api.Reload(access)
	s.Log.Info("an override of a limit has ended")
	s.awaitEndLocked()
}
