"""What the tests share: strategies, tables of cases, oracles, stand-ins, and the peers to compare with."""
