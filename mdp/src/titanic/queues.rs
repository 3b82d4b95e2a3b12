//! Which requests wait for which service, and how many of each service's are with the broker.

use std::collections::{HashMap, VecDeque};

use crate::protocol::{Service, Ticket};

/// The services for which something is stored, each known by a number.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Vec<Queue>,
    numbers: HashMap<Service, u32>,
    free: Vec<u32>,
    /// Those that may have something to submit, each once; they take turns.
    ready: VecDeque<u32>,
}

/// What is stored for one service.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) service: Service,
    /// The pending requests first to last, and some that were closed since.
    waiting: VecDeque<Ticket>,
    /// How many of them are pending.
    pub(crate) pending: usize,
    /// How many are with the broker, or on their way there or back.
    pub(crate) running: usize,
    /// How many requests are not done.
    holders: usize,
    is_ready: bool,
}

impl Queues {
    /// Returns how many services there are.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn contains(&self, service: &Service) -> bool {
        self.numbers.contains_key(service)
    }

    /// Returns the number of a service for one more request.
    pub(crate) fn hold(&mut self, service: &Service) -> u32 {
        if let Some(&number) = self.numbers.get(service) {
            self.queues[number as usize].holders += 1;
            return number;
        }
        let service = service.clone();
        let queue = Queue {
            service: service.clone(),
            waiting: VecDeque::new(),
            pending: 0,
            running: 0,
            holders: 1,
            is_ready: false,
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.queues[number as usize] = queue;
                number
            }
            None => {
                self.queues.push(queue);
                self.queues.len() as u32 - 1
            }
        };
        self.numbers.insert(service, number);
        number
    }

    /// Says that one request of the service is done or gone.
    pub(crate) fn let_go(&mut self, number: u32) {
        let queue = self.get(number);
        queue.holders -= 1;
        if queue.holders == 0 {
            debug_assert!(queue.pending == 0 && queue.running == 0, "nothing of it can be pending or running");
            queue.waiting = VecDeque::new();
            let service = queue.service.clone();
            self.numbers.remove(&service);
            // Its number is in use while it waits for its turn.
            if !self.queues[number as usize].is_ready {
                self.free.push(number);
            }
        }
    }

    pub(crate) fn get(&mut self, number: u32) -> &mut Queue {
        &mut self.queues[number as usize]
    }

    pub(crate) fn push_back(&mut self, number: u32, ticket: Ticket) {
        let queue = self.get(number);
        queue.pending += 1;
        queue.waiting.push_back(ticket);
        self.touch(number);
    }

    /// Puts a request that has waited before to the front.
    pub(crate) fn push_front(&mut self, number: u32, ticket: Ticket) {
        let queue = self.get(number);
        queue.pending += 1;
        queue.waiting.push_front(ticket);
        self.touch(number);
    }

    /// Takes the next in line, which may have been closed.
    pub(crate) fn pop(&mut self, number: u32) -> Option<Ticket> {
        self.get(number).waiting.pop_front()
    }

    /// Says that a request is no longer pending. Where most of the queue are such, they are taken out of it.
    pub(crate) fn no_longer_pending(&mut self, number: u32, is_pending: impl Fn(&Ticket) -> bool) {
        let queue = self.get(number);
        queue.pending -= 1;
        if queue.waiting.len() > 2 * queue.pending + 64 {
            queue.waiting.retain(is_pending);
            queue.waiting.shrink_to(2 * queue.pending + 64);
        }
    }

    /// Notes that a service may have something to submit.
    pub(crate) fn touch(&mut self, number: u32) {
        let queue = self.get(number);
        if !queue.is_ready && queue.pending > 0 {
            queue.is_ready = true;
            self.ready.push_back(number);
        }
    }

    /// Notes that workers of a service may have come.
    pub(crate) fn touch_service(&mut self, service: &Service) {
        if let Some(&number) = self.numbers.get(service) {
            self.touch(number);
        }
    }

    /// Notes that workers of any service may have come.
    pub(crate) fn touch_all(&mut self) {
        for number in 0..self.queues.len() as u32 {
            self.touch(number);
        }
    }

    /// Returns the service whose turn it is, which waits for another turn only when it is touched again.
    pub(crate) fn next_ready(&mut self) -> Option<u32> {
        loop {
            let number = self.ready.pop_front()?;
            let queue = self.get(number);
            queue.is_ready = false;
            if queue.holders > 0 {
                return Some(number);
            }
            self.free.push(number);
        }
    }
}
