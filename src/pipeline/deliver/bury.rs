//! Events that are given up are kept, where that is wanted.

use std::sync::Arc;

use super::super::dead_letters::{Verdict, is_kept};
use super::super::queue::{Piece, pick};
use super::settle::taken_places;
use super::{Deliver, Sent};
use crate::event::DropReason;
use crate::output::Destination;

impl Deliver {
    /// Has events that are given up kept, where that is wanted. They hold their memory until it is done.
    pub(super) fn bury(
        &mut self,
        destination: &Destination,
        reason: DropReason,
        why: &str,
        pieces: Vec<Piece>,
    ) {
        let Some(letters) = &self.delivery.dead_letters else {
            return;
        };
        if pieces.is_empty() || !is_kept(reason) {
            return;
        }
        let letters = Arc::clone(letters);
        let verdict = Verdict {
            output: self.delivery.ledger.name().to_owned(),
            destination: destination.to_string(),
            reason,
            why: why.to_owned(),
        };
        self.burials
            .spawn_blocking(move || letters.keep(&verdict, &pieces));
    }

    /// The same for items that an output left out of a request.
    pub(super) fn bury_refused(
        &mut self,
        destination: &Destination,
        pieces: &[Piece],
        refused: &[(usize, DropReason)],
    ) {
        if self.delivery.dead_letters.is_none() {
            return;
        }
        for reason in DropReason::ALL
            .into_iter()
            .filter(|reason| is_kept(*reason))
        {
            let places = refused.iter().filter(|(_, why)| *why == reason);
            let places: Vec<_> = places.map(|(place, _)| *place).collect();
            self.bury(destination, reason, "", pick(pieces, &places));
        }
    }

    /// The same for items that a service took a request without.
    pub(super) fn bury_rejected(
        &mut self,
        sent: &Sent,
        positions: std::ops::Range<usize>,
        reason: DropReason,
    ) {
        if self.delivery.dead_letters.is_none() {
            return;
        }
        let Some(lane) = self.lanes.get_mut(sent.lane) else {
            return;
        };
        let destination = Arc::clone(&lane.destination);
        let taken = taken_places(&sent.encoded);
        let end = positions.end.min(taken.len());
        let at = |position| sent.encoded.positions.items_at(position);
        let places = (positions.start..end).filter_map(|position| taken.get(at(position)));
        let mut places: Vec<usize> = places.flatten().copied().collect();
        places.sort_unstable();
        self.bury(&destination, reason, "", pick(&sent.pieces, &places));
    }
}
