//! Which server of an upstream is asked. Pure: what is known of each goes in, a position comes out.

use config::Balance;

/// What is known of one server when a request is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerState {
    /// Requests it is answering now.
    pub(crate) in_flight: usize,
    /// A connect to it failed a short while ago.
    pub(crate) resting: bool,
    /// This very request has been refused by it.
    pub(crate) tried: bool,
}

/// Chooses among so many `peers`; `turn` counts the requests of this upstream. `None` when all have been tried.
///
/// Servers that rest are asked only when no other is left: a wrong guess costs one failed connect, an answer that was
/// never tried for costs the request.
pub(crate) fn choose(
    balance: Balance,
    peers: usize,
    state: impl Fn(usize) -> PeerState,
    turn: usize,
) -> Option<usize> {
    let in_turn = || (0..peers).map(|step| (turn.wrapping_add(step)) % peers);
    let untried = || {
        in_turn()
            .map(|peer| (peer, state(peer)))
            .filter(|(_, state)| !state.tried)
    };
    let awake = || untried().filter(|(_, state)| !state.resting);
    let chosen = match balance {
        Balance::RoundRobin => awake().next().or_else(|| untried().next()),
        // Equal ones take turns, so that an idle upstream is not served by its first server alone.
        Balance::LeastConnections => {
            let least = |(_, state): &(usize, PeerState)| state.in_flight;
            awake().min_by_key(least).or_else(|| untried().min_by_key(least))
        }
    };
    chosen.map(|(peer, _)| peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(balance: Balance, peers: &[PeerState], turn: usize) -> Option<usize> {
        super::choose(balance, peers.len(), |peer| peers[peer], turn)
    }

    const IDLE: PeerState = PeerState {
        in_flight: 0,
        resting: false,
        tried: false,
    };

    fn busy(in_flight: usize) -> PeerState {
        PeerState { in_flight, ..IDLE }
    }

    #[test]
    fn round_robin_asks_each_in_turn() {
        let chosen: Vec<_> = (0..6)
            .map(|turn| choose(Balance::RoundRobin, &[IDLE; 3], turn).unwrap())
            .collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_count_of_turns_may_wrap() {
        assert!(choose(Balance::RoundRobin, &[IDLE; 3], usize::MAX).is_some());
    }

    #[test]
    fn least_connections_asks_the_one_with_the_fewest() {
        for turn in 0..3 {
            let peers = [busy(3), busy(1), busy(2)];
            assert_eq!(choose(Balance::LeastConnections, &peers, turn), Some(1));
        }
    }

    #[test]
    fn least_connections_takes_turns_among_equals() {
        let peers = [busy(1), busy(1), busy(5)];
        assert_eq!(choose(Balance::LeastConnections, &peers, 0), Some(0));
        assert_eq!(choose(Balance::LeastConnections, &peers, 1), Some(1));
        assert_eq!(choose(Balance::LeastConnections, &peers, 2), Some(0));
    }

    #[test]
    fn a_resting_server_is_passed_over() {
        let resting = PeerState {
            resting: true,
            ..IDLE
        };
        for balance in [Balance::RoundRobin, Balance::LeastConnections] {
            assert_eq!(choose(balance, &[resting, busy(9)], 0), Some(1));
        }
    }

    #[test]
    fn when_all_rest_one_is_asked_all_the_same() {
        let resting = PeerState {
            resting: true,
            ..IDLE
        };
        assert_eq!(choose(Balance::RoundRobin, &[resting; 2], 1), Some(1));
    }

    #[test]
    fn no_server_is_asked_twice_for_one_request() {
        let tried = PeerState { tried: true, ..IDLE };
        assert_eq!(choose(Balance::RoundRobin, &[tried, IDLE], 0), Some(1));
        assert_eq!(choose(Balance::RoundRobin, &[tried; 2], 0), None);
        assert_eq!(choose(Balance::RoundRobin, &[], 0), None);
    }
}
