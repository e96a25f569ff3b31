"""Sets made elsewhere: reading their files safely, telling in which units their pixels are, making them ours."""
