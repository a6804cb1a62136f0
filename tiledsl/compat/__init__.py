"""Other systems' programs: what they import, said with tiledsl. Nothing in tiledsl imports this room."""
