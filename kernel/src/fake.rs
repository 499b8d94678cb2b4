//! A machine for tests: it remembers what it was told, and time passes when the test says so.

use crate::machine::{IrqLine, Machine, MsiMessage, PortRange, VectorState};
use std::collections::BTreeMap;

/// An I/O APIC line as it was routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its handler slot.
    pub slot: u8,
    /// Level-triggered.
    pub level: bool,
    /// Whether it is masked.
    pub masked: bool,
}

/// What a test sees of the hardware.
pub struct FakeMachine {
    /// The time-stamp counter.
    pub now: u64,
    /// When the timer fires.
    pub timer: Option<u64>,
    /// Roots that were loaded, in order.
    pub spaces: Vec<u64>,
    /// Addresses whose translation was forgotten.
    pub invalidated: Vec<u64>,
    /// Ports that are open.
    pub ports: Vec<PortRange>,
    /// The lines that were routed.
    pub lines: BTreeMap<u32, Line>,
    /// The vector registers.
    pub vectors: VectorState,
    /// What the random numbers follow from; `None`: there are none.
    pub random: Option<u64>,
    /// The kernel's log.
    pub log: Vec<u8>,
    /// Why it was stopped.
    pub halted: Option<String>,
}

/// Lines of its I/O APIC.
pub const LINES: u32 = 24;

impl Default for FakeMachine {
    fn default() -> FakeMachine {
        FakeMachine {
            now: 0,
            timer: None,
            spaces: Vec::new(),
            invalidated: Vec::new(),
            ports: Vec::new(),
            lines: BTreeMap::new(),
            vectors: VectorState::INITIAL,
            random: Some(0),
            log: Vec::new(),
            halted: None,
        }
    }
}

impl Machine for FakeMachine {
    fn ticks(&self) -> u64 {
        self.now
    }
    fn set_timer(&mut self, at: Option<u64>) {
        self.timer = at;
    }
    fn enter_space(&mut self, root: u64) {
        self.spaces.push(root);
    }
    fn invalidate(&mut self, address: u64) {
        self.invalidated.push(address);
    }
    fn open_ports(&mut self, ranges: &[PortRange]) {
        self.ports = ranges.to_vec();
    }
    fn reset_vectors(&mut self) {
        self.vectors = VectorState::INITIAL;
    }
    fn save_vectors(&mut self, into: &mut VectorState) {
        *into = self.vectors;
    }
    fn load_vectors(&mut self, from: &VectorState) {
        self.vectors = *from;
    }
    fn route_line(&mut self, slot: IrqLine, gsi: u32, level: bool) -> bool {
        if gsi < LINES {
            self.lines.insert(gsi, Line { slot: slot.0, level, masked: true });
        }
        gsi < LINES
    }
    fn msi_message(&self, slot: IrqLine) -> MsiMessage {
        MsiMessage { address: 0xfee0_0000, data: 32 + u32::from(slot.0) }
    }
    fn mask_line(&mut self, gsi: u32) {
        self.line(gsi).masked = true;
    }
    fn unmask_line(&mut self, gsi: u32) {
        self.line(gsi).masked = false;
    }
    fn random(&mut self) -> Option<u64> {
        let state = self.random.as_mut()?;
        *state = state.wrapping_add(1);
        Some(crate::placement::mix(*state << 32))
    }
    fn log(&mut self, text: &[u8]) {
        self.log.extend_from_slice(text);
    }
    fn halt(&mut self, reason: &str) {
        self.halted = Some(reason.to_owned());
    }
}

impl FakeMachine {
    fn line(&mut self, gsi: u32) -> &mut Line {
        self.lines.get_mut(&gsi).expect("only routed lines are masked and unmasked")
    }
}
