"""The timeline of a simulated run: its iterations, the phases of its requests, pictures and a Chrome trace of them."""
