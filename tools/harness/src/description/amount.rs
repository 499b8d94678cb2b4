//! Amounts of memory, times, and whether they exist.

use super::{Check, raw};
use crate::diagnostic::Problem;
use manifest::{Amount, MAX_DMA_PAGES, PAGE_SIZE, System};

/// Most pages of a stack: it lies in its thread's area of 1 MiB, behind the message page and the guard page.
const MOST_STACK_PAGES: u32 = 254;

impl Check<'_> {
    /// `"64K"`, `"1M"`, `"4096"` (bytes), `"10%"`, `"10% up to 64M"`.
    pub fn amount(&mut self, raw: &raw::Amount) -> Amount {
        let text = raw.as_ref().0.trim();
        if let Some((share, most)) = text.split_once(" up to ") {
            let percent = share.trim().strip_suffix('%').and_then(|percent| percent.trim().parse().ok());
            return match (percent, size(most.trim())) {
                (Some(percent @ 1..=100), Some(most @ 1..)) => Amount::PercentUpTo(percent, most.div_ceil(PAGE_SIZE)),
                _ => {
                    let what = format!("`{text}` is not a share with a size that it goes up to");
                    self.problems.push(Problem::new(raw.span(), what).help("write it like \"10% up to 64M\""));
                    Amount::Percent(1)
                }
            };
        }
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse() {
                Ok(percent @ 1..=100) => Amount::Percent(percent),
                _ => self.wrong(raw.span(), format!("`{text}` is not a share of 1% to 100%"), Amount::Percent(1)),
            };
        }
        match size(text) {
            Some(0) => self.wrong(raw.span(), "an amount of memory is at least one byte", Amount::Pages(1)),
            Some(bytes) => Amount::Pages(bytes.div_ceil(PAGE_SIZE)),
            None => {
                let problem = Problem::new(raw.span(), format!("`{text}` is not an amount of memory"));
                self.problems.push(
                    problem.help("write \"64K\", \"1M\", \"1G\", bytes such as \"8192\", or a share such as \"10%\""),
                );
                Amount::Pages(1)
            }
        }
    }

    /// The same, for what must be there: no more than the machine has.
    pub fn quota(&mut self, raw: &raw::Amount) -> Amount {
        let amount = self.amount(raw);
        match amount {
            Amount::Pages(pages) if pages > self.machine => {
                let (asked, has) = (pages.saturating_mul(4), self.machine.saturating_mul(4));
                let problem = Problem::new(raw.span(), format!("this is {asked} KiB, and the machine has {has} KiB"));
                self.problems.push(problem.help("ask for less, or raise `memory` under [system]"));
                Amount::Pages(1)
            }
            amount => amount,
        }
    }

    /// A size, not a share.
    pub fn pages(&mut self, raw: &raw::Amount) -> u32 {
        match self.quota(raw) {
            Amount::Percent(_) | Amount::PercentUpTo(..) => {
                self.wrong(raw.span(), "this amount is a size, such as \"64K\", and no share", 1)
            }
            Amount::Pages(pages) => {
                u32::try_from(pages).unwrap_or_else(|_| self.wrong(raw.span(), "this is too much memory", 1))
            }
        }
    }

    pub fn dma(&mut self, raw: &raw::Amount) -> u32 {
        match self.pages(raw) {
            pages if pages > MAX_DMA_PAGES => {
                let most = u64::from(MAX_DMA_PAGES) * PAGE_SIZE / 1024;
                self.wrong(raw.span(), format!("DMA memory has at most {most}K: the kernel clears it in one go"), 1)
            }
            pages => pages,
        }
    }

    /// A stack, which the account of `memory` pays for.
    pub fn stack(&mut self, raw: &raw::Amount, memory: Amount) -> u32 {
        let pages = self.pages(raw);
        if pages > MOST_STACK_PAGES {
            let message = format!("a stack has at most {} KiB, not {}", MOST_STACK_PAGES * 4, u64::from(pages) * 4);
            return self.wrong(raw.span(), message, 1);
        }
        match memory {
            Amount::Pages(quota) if u64::from(pages) >= quota => {
                let message = format!("a stack of {} KiB does not fit into a memory of {} KiB", pages * 4, quota * 4);
                let problem = Problem::new(raw.span(), message);
                self.problems.push(problem.help("the quota `memory` pays for the stack, the program and all it makes"));
            }
            _ => {}
        }
        pages
    }

    pub fn milliseconds(&mut self, raw: &raw::Period) -> u32 {
        let text = raw.as_ref().0.trim();
        let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1000),
            (None, None) => ("", 1),
        };
        match number.trim().parse::<u32>().ok().and_then(|number| number.checked_mul(scale)) {
            Some(time) => time,
            None => self.wrong(raw.span(), format!("`{text}` is not a time such as \"50ms\" or \"2s\""), 1),
        }
    }

    /// The whole must fit. Said only where nothing else is wrong: a wrong amount has no sum.
    pub fn totals(&mut self, raw: &raw::System, system: &System) {
        let (fixed, total) = (system.fixed_pages(), system.memory_pages);
        if fixed > total && self.problems.is_empty() {
            let message = format!(
                "the fixed amounts of memory add up to {} KiB, and the machine has {} KiB",
                fixed.saturating_mul(4),
                total.saturating_mul(4)
            );
            let largest = system.services.iter().max_by_key(|service| {
                let kept: u64 = service.persistent.iter().map(|memory| memory.size.fixed_pages()).sum();
                service.memory.fixed_pages() + u64::from(service.dma_pages) + kept
            });
            let problem = Problem::new(raw.system.memory.span(), message);
            let help = largest.map(|service| format!("raise this; most goes to `{}`", service.name));
            self.problems.push(help.map_or(problem.clone(), |help| problem.help(help)));
        }
        let percent = system.percent_total();
        if percent > 100 {
            self.problem(raw.programs.memory.span(), format!("the shares of memory add up to {percent} %"));
        }
    }
}

/// Bytes in `"64K"`, `"64KiB"`, `"1M"`, `"2G"`, `"512"`.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(scale)
}
