//! All worlds of a history, with the time of each. The answers that are right follow from them.

use std::rc::Rc;

use crate::world::World;

/// Number of a step of the scheduler. Of two events, the one with the lesser step came first.
pub(crate) type StepNumber = u64;

/// A world that may be in effect although nobody was told so: its change is on its way, or its outcome is in doubt.
#[derive(Debug)]
struct Candidate {
    world: Rc<World>,
    until: Option<StepNumber>,
}

/// All worlds since the beginning.
#[derive(Debug)]
pub(crate) struct Past {
    /// Acknowledged worlds, each with its first step.
    versions: Vec<(StepNumber, Rc<World>)>,
    candidates: Vec<Candidate>,
    /// Steps in which something happened for which a broker may try again: changes of the world, of the keys and of the
    /// clock.
    disturbances: Vec<StepNumber>,
}

impl Past {
    pub(crate) fn new(world: World) -> Self {
        let versions = vec![(0, Rc::new(world))];
        Self { versions, candidates: Vec::new(), disturbances: Vec::new() }
    }

    /// Returns the world that was acknowledged last.
    pub(crate) fn present(&self) -> Rc<World> {
        self.versions.last().map(|(_, world)| Rc::clone(world)).unwrap()
    }

    /// Returns the world that may be in effect, if there is one.
    pub(crate) fn candidate(&self) -> Option<Rc<World>> {
        let open = self.candidates.iter().rfind(|candidate| candidate.until.is_none());
        open.map(|candidate| Rc::clone(&candidate.world))
    }

    /// Begins a change that may be in effect from now on.
    pub(crate) fn begin(&mut self, world: World, step: StepNumber) {
        self.candidates.push(Candidate { world: Rc::new(world), until: None });
        self.disturbances.push(step);
    }

    /// Ends the doubt: the candidate is the present world, or never was.
    #[expect(clippy::fn_params_excessive_bools, reason = "what the disk says")]
    pub(crate) fn resolve(&mut self, is_stored: bool, step: StepNumber) {
        let world = self.candidate();
        for candidate in &mut self.candidates {
            candidate.until.get_or_insert(step);
        }
        if let Some(world) = world {
            self.disturbances.push(step);
            if is_stored {
                self.versions.push((step, world));
            }
        }
    }

    pub(crate) fn disturb(&mut self, step: StepNumber) {
        self.disturbances.push(step);
    }

    /// Returns the number of disturbances in this step and later.
    pub(crate) fn disturbances_since(&self, step: StepNumber) -> usize {
        self.disturbances.iter().rev().take_while(|then| **then >= step).count()
    }

    /// Returns every world that was in effect, or may have been, in this step or later.
    pub(crate) fn since(&self, step: StepNumber) -> impl Iterator<Item = &World> {
        let ends = self.versions.iter().skip(1).map(|(end, _)| *end).chain([StepNumber::MAX]);
        let versions = self.versions.iter().zip(ends).filter(move |(_, end)| *end >= step);
        let candidates =
            self.candidates.iter().filter(move |own| own.until.is_none_or(|end| end >= step));
        versions.map(|((_, world), _)| &**world).chain(candidates.map(|own| &*own.world))
    }

    /// Returns every acknowledged world that had ended before this step.
    pub(crate) fn before(&self, step: StepNumber) -> impl Iterator<Item = &World> {
        let ends = self.versions.iter().skip(1).map(|(end, _)| *end);
        let ended = self.versions.iter().zip(ends).filter(move |(_, end)| *end < step);
        ended.map(|((_, world), _)| &**world)
    }
}
