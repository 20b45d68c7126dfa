message(FATAL_ERROR "the module of the project around was taken for one of deltak")
