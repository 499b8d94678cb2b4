//! Another image for a running service: put in, watched, and taken out again where it does not come up.
//!
//! 1. The image is copied into memory of init's own, so that its giver may go.
//! 2. While an image is on trial the one before is kept. The trial ends with the service's first answer, with its death,
//!    or with the deadline; anything but an answer puts the old image back.
//! 3. An incarnation of the supervisor goes on with the trials of the one before.

use crate::{
    saved::{self, SavedImage, SavedTrial},
    supervisor::Supervisor,
    table::State,
};
use abi::{MessageId, PAGE_SIZE};
use alloc::{format, string::String};
use libipc::{Account, OwnedHandle, Pending, SysError, proto::svc::SvcUpgradeOp, server, spawn::Image, sys};

/// Nanoseconds that a new image has to give its first answer.
pub const TRIAL: u64 = 3_000_000_000;
/// How often it is asked, nanoseconds, and how long it has for each answer.
const ASK_EVERY: u64 = 50_000_000;
const PATIENCE: u64 = 50_000_000;
/// Bytes of the largest image.
const MOST: u64 = 16 << 20;

/// An image that is not in the boot archive.
pub struct OwnImage {
    memory: OwnedHandle,
    length: u64,
}

impl OwnImage {
    /// A copy of the first `length` bytes of `from`, which `account` pays for.
    pub fn copy(account: Account, from: &OwnedHandle, length: u64) -> Result<OwnImage, SysError> {
        let pages = length.div_ceil(PAGE_SIZE);
        if length == 0 || length > MOST || from.memory().pages()? < pages {
            return Err(SysError::BadArgument);
        }
        let source = from.memory().map_range(0, pages, false)?;
        let memory = account.create_memory(pages)?;
        let mut target = memory.memory().map(true)?;
        let bytes = target.bytes_mut().ok_or(SysError::MissingRights)?;
        // Its giver may change it meanwhile: what comes out is checked by the kernel when it is loaded.
        source.read(0, &mut bytes[..length as usize])?;
        Ok(OwnImage { memory, length })
    }

    /// To be loaded.
    pub fn image(&self) -> Image {
        Image::borrowed(self.memory.memory(), 0, self.length)
    }

    /// What is saved.
    pub fn save(&self) -> SavedImage {
        SavedImage { memory: saved::raw(&self.memory), length: self.length }
    }

    /// What was saved.
    pub fn restored(saved: SavedImage) -> OwnImage {
        OwnImage { memory: saved::owned(saved.memory), length: saved.length }
    }
}

/// An image on trial.
pub struct Trial {
    /// Number of the service.
    pub at: usize,
    /// What ran before; `None`: the image in the boot archive.
    old: Option<OwnImage>,
    /// When it must have answered.
    deadline: u64,
    next: u64,
    id: MessageId,
    /// Who waits for the outcome; nobody while a call is on its way from an earlier incarnation.
    pending: Option<Pending<SvcUpgradeOp>>,
}

impl Trial {
    /// What is saved.
    pub fn save(&self) -> SavedTrial {
        SavedTrial {
            at: self.at as u32,
            old: self.old.as_ref().map(OwnImage::save),
            deadline: self.deadline,
            id: self.id.raw(),
        }
    }

    /// What was saved.
    pub fn restored(saved: SavedTrial) -> Trial {
        Trial {
            at: saved.at as usize,
            old: saved.old.map(OwnImage::restored),
            deadline: saved.deadline,
            next: 0,
            id: MessageId::from_raw(saved.id),
            pending: None,
        }
    }
}

impl Supervisor {
    /// Puts `image` into service `at` and starts it.
    pub(crate) fn begin_upgrade(&mut self, at: usize, image: OwnImage, pending: Pending<SvcUpgradeOp>) {
        let now = sys::clock();
        let old = self.images.get_mut(at).and_then(|slot| slot.replace(image));
        let (id, deadline) = (pending.id(), now.saturating_add(TRIAL));
        self.trials.push(Trial { at, old, deadline, next: now, id, pending: Some(pending) });
        let ends = self.table.ordered(at, now);
        self.commit(None);
        if ends {
            self.end(at);
        }
    }

    /// Call `id`, which an earlier incarnation had received: whether its trial goes on, and it waits for that.
    pub(crate) fn resume_upgrade(&mut self, id: MessageId, pending: impl FnOnce() -> Pending<SvcUpgradeOp>) -> bool {
        let trial = self.trials.iter_mut().find(|trial| trial.id == id);
        trial.is_some_and(|trial| {
            trial.pending = Some(pending());
            true
        })
    }

    /// Whether service `at` has an image on trial.
    pub(crate) fn is_on_trial(&self, at: usize) -> bool {
        self.trials.iter().any(|trial| trial.at == at)
    }

    /// When the next trial is to be looked at.
    pub(crate) fn next_trial(&self) -> Option<u64> {
        self.trials.iter().map(|trial| trial.next.min(trial.deadline)).min()
    }

    /// Asks the services whose images are on trial, where that is due.
    pub(crate) fn look_at_trials(&mut self, now: u64) {
        let mut number = 0;
        while let Some(trial) = self.trials.get_mut(number) {
            if trial.next > now && trial.deadline > now {
                number += 1;
                continue;
            }
            trial.next = now.saturating_add(ASK_EVERY);
            let (at, deadline) = (trial.at, trial.deadline);
            let runs = self.table.state(at) == Some(&State::Running);
            let queue = self.queues.iter().find(|provided| provided.provider == Some(at));
            let answer = queue
                .filter(|_| runs)
                .map(|provided| server::ping(provided.queue.queue(), Some(sys::clock().saturating_add(PATIENCE))));
            if answer == Some(Ok(())) {
                self.end_trial(at, None);
            } else if deadline <= now {
                let seconds = TRIAL / 1_000_000_000;
                self.end_trial(at, Some(format!("the new image did not answer within {seconds} s")));
            } else {
                number += 1;
            }
        }
    }

    /// The trial of service `at` is over, for `failure` or well. The old image comes back where it failed.
    pub(crate) fn end_trial(&mut self, at: usize, failure: Option<String>) {
        let Some(number) = self.trials.iter().position(|trial| trial.at == at) else { return };
        let Trial { old, pending, id, .. } = self.trials.swap_remove(number);
        let failed = failure.is_some();
        self.log_own(&match &failure {
            None => format!("{} runs a new image", self.name(at)),
            Some(why) => format!("{} got its old image back: {why}", self.name(at)),
        });
        let mut discarded = None;
        let mut ends = false;
        if failed && let Some(slot) = self.images.get_mut(at) {
            discarded = core::mem::replace(slot, old);
            ends = self.table.ordered(at, sys::clock());
        }
        let answer = Ok(failure.unwrap_or_default());
        match &pending {
            Some(pending) => self.commit(Some((id, &pending.encode(&answer)))),
            None => self.commit(Some((id, &libipc::answer::Answer::of::<SvcUpgradeOp>(&answer)))),
        }
        if ends {
            self.end(at);
        }
        // What the process still maps of it lives until it is reset.
        drop(discarded);
        if let Some(pending) = pending {
            // Refused only where the caller is gone.
            let _ = pending.answer(answer);
        }
    }
}
