//! Consequences of a step of the scheduler, and the checks that follow.

use std::net::IpAddr;
use std::sync::Arc;

use mintbench::service::broker::{Answer, TokenError};
use mintbench::service::directory::DirectoryError;

use crate::actors::Stop;
use crate::checks::{self, Violation};
use crate::node::{Job, Outcome};
use crate::run::Run;
use crate::source::Event;
use crate::token::Claims;
use crate::world::World;

/// Seconds until a process that could not start tries again.
const RETRY: u64 = 5;

impl Run<'_> {
    /// Starts a process, or tries to.
    pub(crate) fn start_process(&mut self) -> Result<(), Violation> {
        self.processes = self.processes.wrapping_add(1);
        let started = self.machine.start(self.processes, self.mode);
        drop(self.machine.disk.take_offered());
        match started {
            Ok(node) => {
                self.node = Some(node);
                self.note(|| "started".to_owned());
                self.check_kept()
            }
            Err(DirectoryError::Store(_) | DirectoryError::SigningKey(_))
                if self.machine.disk.is_failing() =>
            {
                self.starts_at = self.second() + RETRY;
                self.note(|| "could not start".to_owned());
                Ok(())
            }
            Err(error) => Err(Violation {
                invariant: "a process starts on what was stored",
                detail: error.to_string(),
            }),
        }
    }

    /// Ends the process as a loss of power does.
    pub(crate) fn die(&mut self) {
        self.note_offered();
        self.threads.writer.die();
        self.threads.lanes.iter_mut().for_each(super::actors::Actor::die);
        self.note_offered();
        self.asked.clear();
        self.woken.lock().clear();
        self.kept.clear();
        self.jobs.clear();
        self.mints = crate::mints::Mints::default();
        self.admitted = crate::limits::Admitted::default();
        if let Some(node) = self.node.take() {
            drop(node.source.take_events());
        }
        let has_offered = std::mem::take(&mut self.has_offered);
        let fate = if self.job.take().is_some() && has_offered {
            Some(self.machine.disk.stored_in_doubt())
        } else {
            self.doubt
        };
        self.doubt = None;
        *self.outcome.lock() = None;
        self.keys.end_write(self.step);
        self.past.resolve(fate.unwrap_or(false), self.step);
        self.past.disturb(self.step);
    }

    pub(crate) fn begin_write(&mut self) {
        let (Some(node), Some(job)) = (&self.node, self.jobs.pop_front()) else { return };
        if matches!(job, Job::Revoke) {
            self.faults.has_revoked = true;
            self.keys.begin_revocation(&node.directory.ring());
            self.past.disturb(self.step);
        }
        self.keys.begin_write(self.step, &self.machine.clock);
        self.job = Some(job);
        let (directory, clock) = (Arc::clone(&node.directory), Arc::clone(&self.machine.clock));
        let outcome = Arc::clone(&self.outcome);
        self.threads.writer.begin(move || *outcome.lock() = Some(job.run(&directory, &clock)));
    }

    /// Looks at everything that others can see after a step.
    pub(crate) fn observe(&mut self) -> Result<(), Violation> {
        self.note_offered();
        if let Some(node) = &self.node {
            let now = (self.step, self.machine.settings.min_distance);
            let gone = self.keys.look(&node.directory.ring(), &self.machine.clock, now);
            checks::key_stays_published(gone.as_deref())?;
        }
        if self.threads.writer.at == Stop::Idle && self.job.is_some() {
            self.end_write()?;
        }
        Ok(())
    }

    /// Takes note of a change that is on its way to the disk. An earlier one is then no longer in doubt.
    fn note_offered(&mut self) {
        let Some(changes) = self.machine.disk.take_offered() else { return };
        self.has_offered = true;
        // The doubt that was there before may have had a key of its own, which now takes over.
        if let (Some(Job::Revoke), Some(node)) = (self.job, &self.node) {
            self.keys.begin_revocation(&node.directory.ring());
        }
        if let Some(is_stored) = self.doubt.take() {
            self.past.resolve(is_stored, self.step);
        }
        if World::is_touched_by(&changes) {
            self.past.begin(self.past.present().after(&changes), self.step);
        }
    }

    fn end_write(&mut self) -> Result<(), Violation> {
        let (Some(job), Some(outcome)) = (self.job.take(), self.outcome.lock().take()) else {
            return Ok(());
        };
        let has_offered = std::mem::take(&mut self.has_offered);
        self.keys.end_write(self.step);
        self.note(|| format!("{job:?}: {outcome:?}"));
        self.counts.writes += u64::from(has_offered);
        if has_offered || self.doubt.is_some() {
            self.past.disturb(self.step);
        }
        match outcome {
            Outcome::Done => {
                if has_offered {
                    self.past.resolve(true, self.step);
                } else if let Some(is_stored) = self.doubt.take() {
                    self.past.resolve(is_stored, self.step);
                }
                self.counts.rotations += u64::from(matches!(job, Job::Rotate | Job::Revoke));
                self.check_kept()
            }
            Outcome::NotStored => {
                self.counts.failed_writes += 1;
                if has_offered {
                    self.doubt = Some(self.machine.disk.stored_in_doubt());
                }
                Ok(())
            }
            Outcome::Early => {
                self.settle_by_looks();
                Ok(())
            }
        }
    }

    /// A rotation that came too early may have settled the doubt before: then the change shows.
    fn settle_by_looks(&mut self) {
        let (Some(true), Some(candidate), Some(node)) =
            (self.doubt, self.past.candidate(), &self.node)
        else {
            return;
        };
        if World::shown(&node.directory.read(), &candidate) == *candidate {
            self.doubt = None;
            self.past.resolve(true, self.step);
        }
    }

    fn check_kept(&self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        let disk = World::of(self.machine.disk.records());
        checks::changes_are_kept(&self.past.present(), node, &disk)
    }

    /// Takes note of what a lane did at the source.
    pub(crate) fn after_lane(&mut self, lane: usize) -> Result<(), Violation> {
        let events = self.node.as_ref().map(|node| node.source.take_events()).unwrap_or_default();
        for event in events {
            match event {
                Event::Asked { number, key } => {
                    self.note(|| format!("lane {lane} calls the source, call {number}: {}", key.2));
                    let (step, clock) = (self.step, &self.machine.clock);
                    let fault = self.mints.begin((number, key, lane), (step, &self.past), clock);
                    let is_certain = !self.machine.settings.is_forgetful();
                    checks::mint_is_needed(fault.filter(|_| is_certain))?;
                }
                Event::Minted { number, claims, jwt } => {
                    self.counts.mints += 1;
                    if let Some((_, Some(machine), resource)) =
                        self.mints.minted(number, claims.expires)
                    {
                        self.minted.push((self.machine.clock.second(), machine, resource));
                    }
                    let kid = claims.kid.clone();
                    self.keys.minted(&claims, jwt, &self.machine.clock);
                    checks::key_was_published(&kid, &self.keys, &self.machine.settings)?;
                }
                Event::Failed { number, has_panicked } => {
                    self.note(|| format!("call {number} failed"));
                    self.counts.failed_mints += 1;
                    self.mints.failed(number);
                    self.failing.push((lane, has_panicked));
                }
            }
        }
        let step = self.step;
        for (_, has_panicked) in self.failing.iter().filter(|(own, _)| *own == lane) {
            self.faults.failed = step;
            if *has_panicked {
                self.faults.panicked = step;
            }
        }
        if self.threads.lanes[lane].at == Stop::Idle {
            self.note(|| format!("lane {lane} is idle"));
            self.failing.retain(|(own, _)| *own != lane);
            let others = self.node.as_ref().map_or(0, |node| node.broker.stats().lanes.queued);
            self.mints.landed((lane, others), (step, &self.past), &self.machine.settings);
        }
        Ok(())
    }

    /// Lets a request go on, and judges its answer.
    pub(crate) fn poll(&mut self, number: usize) -> Result<(), Violation> {
        let Some(asked) = self.asked.get_mut(&number) else { return Ok(()) };
        let is_first = asked.queued.is_none();
        let (answered, address) = (asked.poll(), asked.wish.address);
        if is_first {
            let refusal = answered.as_ref().and_then(|answered| answered.as_ref().err());
            self.check_limits(number, address, refusal)?;
        }
        let Some(answered) = answered else { return Ok(()) };
        let Some(asked) = self.asked.remove(&number) else { return Ok(()) };
        self.admitted.end(number);
        self.note(|| match &answered {
            Ok(answer) => format!("#{number} {}", answer.via.as_str()),
            Err(error) => format!("#{number} {error}"),
        });
        self.answers.push((asked.second, self.second(), asked.pair, answered.is_ok()));
        self.check_time(&asked, self.second())?;
        match answered {
            Ok(answer) => self.judge(&asked, &answer),
            Err(error) => {
                let settings = &self.machine.settings;
                checks::refusal_is_right(&error, &asked, &self.past, &self.faults, settings)
            }
        }
    }

    fn check_limits(
        &mut self,
        number: usize,
        address: IpAddr,
        refusal: Option<&TokenError>,
    ) -> Result<(), Violation> {
        let world = self.past.present();
        let (Some(limits), Some(vm)) =
            (self.machine.settings.throttle.limits(), world.caller(address))
        else {
            return Ok(());
        };
        let is_certain = self.past.candidate().is_none() && self.job.is_none();
        let now = (self.second(), is_certain);
        checks::limits_are_kept(self.admitted.begin((number, vm.vm_id), now, refusal, limits))
    }

    fn judge(&mut self, asked: &crate::asked::Asked, answer: &Answer) -> Result<(), Violation> {
        self.counts.tokens += 1;
        let Some(claims) = Claims::of(answer.token().jwt()) else {
            let detail = "the answer holds no token".to_owned();
            return Err(Violation { invariant: "no wrong identity in a token", detail });
        };
        checks::identity_is_right(&claims, asked, &self.past)?;
        checks::token_is_in_time(&claims, answer, &self.machine.clock)?;
        let jwt = answer.token().jwt();
        if self.keys.must_keep(&claims, jwt) {
            checks::token_can_be_verified(&claims, asked, &self.keys)?;
            self.keys.given(&claims);
        }
        Ok(())
    }
}
