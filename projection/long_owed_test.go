package projection_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/projection"
)

// A generation that has handled an event without its effects must not become live
// by itself, also when meanwhile another one took over that owes them: TestMachine
// found that the switch back forgot it.
func TestSwitchBackDoesNotForgetWhatAThirdGenerationLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		f.append(stream(1), placed{"DE", 1})
		owed := f.append(stream(1), cancelled{"bad"}).Events[0].ID
		r := f.runner(s.define(projection.Options{}), nil)
		f.start(r)
		f.caughtUp(r)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2) // it parks the same
		s.poison.Clear()
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.eventually("generation 3 is built", func() bool {
			g := f.status(r).Generations
			return len(g) == 3 && g[2].Lag == 0
		})
		if err := r.Switch(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		pause(time.Minute) // in the bubble: as long as a runner may need to try again
		if g := f.status(r).Active(); g.Number != 1 {
			t.Errorf("generation %d is live, want 1: 3 has handled the event that 1 has parked, without its effects", g.Number)
		}
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 3)
		if n := s.effects.count(owed); n != 1 {
			t.Errorf("the effects of the event ran %d times, want once", n)
		}
	})
}
